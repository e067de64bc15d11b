//! Two processes and one Redis: one quota, exactly, whichever process a request reaches.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_testkit::{Client, Redis, Weir, client::get};

use crate::stage::{route, weir};

/// A store and a page whose limit has these keys.
fn config(redis: &Redis, store: &str, limit: &str) -> String {
    format!(
        "[store.redis]\nurl = \"{}\"\ntimeout = \"5s\"\n{store}\n\n\
         [limit.few]\nby = \"header:x-user\"\nstore = \"redis\"\n{limit}\n\n{}",
        redis.url(),
        route("page", "/", "serve = \"health\"\nlimit = \"few\"")
    )
}

async fn pair(config: &str) -> [Weir; 2] {
    [weir().start(config).await, weir().start(config).await]
}

async fn passes(weir: &Weir, user: &str) -> bool {
    let answer = get(weir.address(), "/", &[&format!("x-user: {user}")]).await;
    match answer.status() {
        200 => true,
        429 => false,
        status => panic!("{status} {}", answer.text()),
    }
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
}

#[tokio::test]
async fn a_window_lets_exactly_100_of_300_through() {
    let Some(redis) = Redis::start("a_window_lets_exactly_100_of_300_through").await else {
        return;
    };
    let weirs = pair(&config(
        &redis,
        "",
        "rate = \"100/1h\"\nalgorithm = \"window\"",
    ))
    .await;
    // Not across the turn of the hour.
    let left = 3600 - now().as_secs() % 3600;
    if left < 20 {
        tokio::time::sleep(Duration::from_secs(left + 1)).await;
    }
    let mut passed = 0;
    for number in 0..300 {
        passed += u32::from(passes(&weirs[number % 2], "ada").await);
    }
    assert_eq!(passed, 100);
    assert!(
        passes(&weirs[0], "bob").await,
        "another identity has its own"
    );
    let metrics = weirs[0].metrics().await;
    assert_eq!(metrics.value("weir_store_up", &[("store", "redis")]), 1.0);
    assert_eq!(
        metrics.value("weir_store_decision_seconds_count", &[("store", "redis")]),
        151.0
    );
    assert_eq!(
        metrics.value("weir_store_outages_total", &[("store", "redis")]),
        0.0
    );
    eprintln!("{}", decisions(metrics.text()));
}

/// For the note: what asking added.
fn decisions(page: &str) -> String {
    page.lines()
        .filter(|line| line.starts_with("weir_store_decision_seconds"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn gcra_lets_through_what_its_formula_says() {
    let Some(redis) = Redis::start("gcra_lets_through_what_its_formula_says").await else {
        return;
    };
    // One each 100 ms, six at once.
    let weirs = pair(&config(&redis, "", "rate = \"10/s\"\nburst = 6")).await;
    let (t, tau) = (0.1, 0.5);
    // The decision falls between the question and its answer: with the formula at both ends, what it says is between the two.
    let (mut soonest, mut latest) = (f64::MIN, f64::MIN);
    let mut passed = 0;
    for number in 0..200 {
        let asked = now().as_secs_f64();
        let allowed = passes(&weirs[number % 2], "ada").await;
        let answered = now().as_secs_f64();
        if allowed {
            passed += 1;
            assert!(
                answered >= soonest - tau,
                "let through {:.4} s too early",
                soonest - tau - answered
            );
            soonest = soonest.max(asked) + t;
            latest = latest.max(answered) + t;
        } else {
            assert!(
                asked < latest - tau,
                "refused {:.4} s too late",
                asked - latest + tau
            );
        }
    }
    assert!(passed >= 6, "{passed}");
}

#[tokio::test]
async fn many_at_once_get_no_more_and_no_less() {
    let Some(redis) = Redis::start("many_at_once_get_no_more_and_no_less").await else {
        return;
    };
    let weirs = pair(&config(&redis, "", "rate = \"200/366d\"")).await;
    let mut tasks = Vec::new();
    for number in 0..16 {
        let address = weirs[number % 2].address();
        tasks.push(tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            let mut passed = 0;
            for _ in 0..25 {
                client.request("GET", "/", &["x-user: ada"]).await;
                passed += u32::from(client.answer().await.status() == 200);
            }
            passed
        }));
    }
    let mut passed = 0;
    for task in tasks {
        passed += task.await.expect("a client");
    }
    assert_eq!(passed, 200);
}

#[tokio::test]
async fn over_tls_with_a_password_and_a_private_authority() {
    let test = "over_tls_with_a_password_and_a_private_authority";
    let args = [
        "--user",
        "weir",
        "on",
        ">fake-password",
        "~*",
        "+@all",
        "--requirepass",
        "fake-default",
    ];
    let Some(redis) = Redis::with_tls(test, &args).await else {
        return;
    };
    let store = format!(
        "user = \"weir\"\npassword = \"${{env:REDIS_PASSWORD}}\"\nca = \"{}\"",
        redis.file("ca.crt").display()
    );
    let config = config(&redis, &store, "rate = \"3/366d\"");
    let right = weir()
        .env("REDIS_PASSWORD", "fake-password")
        .start(&config)
        .await;
    let passed = async |weir: &Weir| {
        let mut passed = 0;
        for _ in 0..5 {
            passed += u32::from(passes(weir, "ada").await);
        }
        passed
    };
    assert_eq!(passed(&right).await, 3);
    let up = async |weir: &Weir| {
        let metrics = weir.metrics().await;
        metrics.value("weir_store_up", &[("store", "redis")])
    };
    assert_eq!(up(&right).await, 1.0);

    let wrong = weir()
        .env("REDIS_PASSWORD", "fake-wrong")
        .start(&config)
        .await;
    assert_eq!(up(&wrong).await, 0.0);
    assert_eq!(passed(&wrong).await, 3, "counted by itself");
    assert!(
        wrong
            .stderr()
            .contains("the store of shared limits is away")
    );
    assert!(!wrong.stderr().contains("fake-"), "{}", wrong.stderr());

    let stranger = config.replace("ca = ", "timeout = \"4s\" # ");
    let stranger = stranger.replacen("timeout = \"5s\"\n", "", 1);
    let stranger = weir()
        .env("REDIS_PASSWORD", "fake-password")
        .start(&stranger)
        .await;
    assert_eq!(up(&stranger).await, 0.0, "an authority that nobody named");
}

#[tokio::test]
async fn a_redis_that_may_forget_is_told_of() {
    let args = ["--maxmemory-policy", "allkeys-lru"];
    let Some(redis) = Redis::with("a_redis_that_may_forget_is_told_of", &args).await else {
        return;
    };
    let weir = weir().start(&config(&redis, "", "rate = \"3/s\"")).await;
    let metrics = weir.metrics().await;
    assert_eq!(
        metrics.value("weir_store_evicting", &[("store", "redis")]),
        1.0
    );
    weir_testkit::eventually("it to be said", async || {
        weir.stderr().contains("allkeys-lru").then_some(())
    })
    .await;
    assert_eq!(weir.stderr().matches("allkeys-lru").count(), 1);
}

#[tokio::test]
async fn a_cluster_is_followed_and_several_identities_are_asked() {
    let test = "a_cluster_is_followed_and_several_identities_are_asked";
    let Some(redis) = Redis::with(test, &["--cluster-enabled", "yes"]).await else {
        return;
    };
    redis.ask("CLUSTER ADDSLOTSRANGE 0 16383").await;
    weir_testkit::eventually("the cluster to be whole", async || {
        let info = redis.ask("CLUSTER INFO").await;
        info.contains("cluster_state:ok").then_some(())
    })
    .await;
    let config = config(&redis, "cluster = true", "rate = \"4/366d\"").replace(
        "limit = \"few\"",
        "limit = [\"few\", \"by_route\", \"again\"]",
    ) + "[limit.by_route]\nby = \"route\"\nstore = \"redis\"\nrate = \"6/366d\"\n\n\
         [limit.again]\nby = \"header:x-user\"\nstore = \"redis\"\nrate = \"100/366d\"\nalgorithm = \"window\"\n";
    let weirs = pair(&config).await;
    let mut passed = Vec::new();
    for (number, user) in ["ada", "bob"].iter().cycle().take(10).enumerate() {
        if passes(&weirs[number / 2 % 2], user).await {
            passed.push(*user);
        }
    }
    assert_eq!(passed, ["ada", "bob", "ada", "bob", "ada", "bob"]);
    // What the route refused was given back to the users.
    let answer = get(weirs[0].address(), "/", &["x-user: ada"]).await;
    assert_eq!(answer.status(), 429);
    let told: Vec<_> = answer.head.all("ratelimit").collect();
    assert!(told[0].starts_with("\"few\";r=1;"), "{told:?}");
    assert!(told[2].starts_with("\"again\";r=97;"), "{told:?}");
}
