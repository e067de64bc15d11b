//! The generator: one thread that plays the clients of one workload against one system or several, from its first connection to the last
//! answer. Nothing counts before every client has been answered once; then the window is set, and what happens within it is counted.

mod bulk;
mod h2;
mod link;
mod request;
mod stream;

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::mpsc,
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, oneshot},
    task::LocalSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    numbers::Histogram,
    place,
    secrets::Secrets,
    workloads::{Action, Carrier, Features, Workload},
};

/// Where clients go, and with what.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) secrets: Rc<Secrets>,
    /// How many clients of this system may open a stream at once.
    door: Semaphore,
}

/// What the clients of one system have seen within the window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Requests answered, events received, or bytes carried.
    pub(crate) done: u64,
    pub(crate) failures: u64,
    /// Events that never came though a later one did.
    pub(crate) lost: u64,
    /// TLS handshakes that took up a ticket.
    pub(crate) resumed: u64,
    /// Of requests from their sending to the end of the answer; of events from their sending to their arrival.
    pub(crate) latency: Histogram,
    /// Of streams, from the connect to the first event; these all come before the window.
    pub(crate) first: Histogram,
}

/// When the clients count, known once all of them are ready.
#[derive(Debug, Default)]
struct Course {
    window: Cell<Option<(Instant, Instant)>>,
    ready: Cell<usize>,
    over: Notify,
}

impl Course {
    fn counts(&self, at: Instant) -> bool {
        self.window
            .get()
            .is_some_and(|(start, end)| at >= start && at < end)
    }

    fn is_over(&self, at: Instant) -> bool {
        self.window.get().is_some_and(|(_, end)| at >= end)
    }
}

/// One client's view of it all.
#[derive(Clone, Debug)]
struct Client {
    target: Rc<Target>,
    course: Rc<Course>,
    tally: Rc<RefCell<Tally>>,
    workload: Workload,
    /// Between two of its requests; none: at once.
    interval: Option<Duration>,
    /// Of its first request, so that clients do not march in step.
    offset: Duration,
    was_ready: Rc<Cell<bool>>,
}

impl Client {
    fn ready(&self) {
        if !self.was_ready.replace(true) {
            self.course.ready.set(self.course.ready.get() + 1);
        }
    }

    fn path(&self) -> String {
        let before = if self.workload.features == Features::None {
            ""
        } else {
            "/full"
        };
        match self.workload.action {
            Action::Get => format!("{before}/tiny"),
            Action::Post => format!("{before}/echo"),
            Action::Stream(every) => format!("{before}/stream?{every}"),
            Action::Idle => format!("{before}/stream/idle"),
            Action::Download(bytes) => format!("{before}/download?{bytes}"),
            Action::Upload(_) => format!("{before}/upload"),
        }
    }

    fn failed(&self) {
        self.tally.borrow_mut().failures += 1;
    }
}

/// What the thread tells the one who measures.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) thread: i32,
    pub(crate) start: std::time::Instant,
    pub(crate) end: std::time::Instant,
    /// Clients that were answered before the window, of all.
    pub(crate) ready: usize,
}

/// Drives the workload against all targets until `release`, and says what was seen of each. Runs on the calling thread.
pub(crate) fn drive(
    workload: Workload,
    targets: &[SocketAddr],
    secrets: Secrets,
    core: Option<usize>,
    begun: &mpsc::Sender<Begun>,
    release: oneshot::Receiver<()>,
) -> Vec<Tally> {
    place::pin(core);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(
        &runtime,
        play(workload, targets, Rc::new(secrets), begun, release),
    )
}

/// So long all clients may take to be answered once.
const RAMP: Duration = Duration::from_secs(30);
/// Between the last client's first answer and the window.
const WARM_UP: Duration = Duration::from_millis(500);
/// For answers that are under way at the end of the window.
const GRACE: Duration = Duration::from_secs(3);

async fn play(
    workload: Workload,
    targets: &[SocketAddr],
    secrets: Rc<Secrets>,
    begun: &mpsc::Sender<Begun>,
    release: oneshot::Receiver<()>,
) -> Vec<Tally> {
    let course = Rc::new(Course::default());
    let mut tallies = Vec::new();
    let mut clients = Vec::new();
    let interval = (workload.rate > 0.0)
        .then(|| Duration::from_secs_f64(workload.clients as f64 / workload.rate));
    for (place, &address) in targets.iter().enumerate() {
        let target = Rc::new(Target {
            address,
            secrets: secrets.clone(),
            door: Semaphore::new(32),
        });
        let tally = Rc::new(RefCell::new(Tally::default()));
        tallies.push(tally.clone());
        let share = 1.0 / (workload.clients * targets.len()) as f64;
        let of_system: Vec<Client> = (0..workload.clients)
            .map(|number| Client {
                target: target.clone(),
                course: course.clone(),
                tally: tally.clone(),
                workload,
                interval,
                offset: interval
                    .unwrap_or_default()
                    .mul_f64((number * targets.len() + place) as f64 * share),
                was_ready: Rc::default(),
            })
            .collect();
        clients.extend(run(of_system));
    }
    let expected = workload.clients * targets.len();
    let _ = timeout(RAMP, async {
        while course.ready.get() < expected {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let start = Instant::now() + WARM_UP;
    let end = start + workload.window();
    course.window.set(Some((start, end)));
    let _ = begun.send(Begun {
        thread: place::this_thread(),
        start: start.into_std(),
        end: end.into_std(),
        ready: course.ready.get(),
    });
    sleep_until(end).await;
    let _ = release.await;
    course.over.notify_waiters();
    let last = Instant::now() + GRACE;
    for (client, tally) in clients {
        // A request that is still not answered is a failure; streams and bulk end when they are told.
        if timeout(last - Instant::now().min(last), client)
            .await
            .is_err()
        {
            tally.borrow_mut().failures += 1;
        }
    }
    tallies.iter().map(|tally| tally.borrow().clone()).collect()
}

type Running = (tokio::task::JoinHandle<()>, Rc<RefCell<Tally>>);

/// Starts the clients of one system.
fn run(clients: Vec<Client>) -> Vec<Running> {
    let mut running = Vec::new();
    if clients
        .first()
        .is_some_and(|client| client.workload.carrier == Carrier::H2)
    {
        // A browser has one connection for all its requests; four are as many users.
        for group in clients.chunks(clients.len().div_ceil(4)) {
            let tally = group[0].tally.clone();
            running.push((tokio::task::spawn_local(h2::group(group.to_vec())), tally));
        }
        return running;
    }
    for client in clients {
        let tally = client.tally.clone();
        let task = match client.workload.action {
            Action::Get | Action::Post => tokio::task::spawn_local(request::run(client)),
            Action::Stream(_) | Action::Idle => tokio::task::spawn_local(stream::run(client)),
            Action::Download(_) | Action::Upload(_) => tokio::task::spawn_local(bulk::run(client)),
        };
        running.push((task, tally));
    }
    running
}
