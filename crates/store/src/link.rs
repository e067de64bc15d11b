//! A connection that was tried: it can run the script, and what it said about forgetting keys is known.

use redis::{
    AsyncConnectionConfig, ErrorKind, RedisResult, Script, ScriptInvocation, ServerErrorKind,
    Value, aio::MultiplexedConnection, cluster_async::ClusterConnection,
};
use tokio::time::{Duration, timeout};
use weir_limit::{Allowed, Quota, Wait};

use crate::{
    counter::{Ask, Counter, Tag},
    settings::{Kind, Settings},
};

/// For a connection to be made, TLS and sign-in included.
const CONNECT: Duration = Duration::from_secs(1);

/// Errors that tell of Redis and not of the question: every other would be answered so too.
const OF_ITSELF: [&str; 6] = ["OOM", "MISCONF", "NOREPLICAS", "BUSY", "NOAUTH", "NOPERM"];

/// Whether a decision takes or gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Take,
    Give,
}

/// Why the store did not answer. The text is for the log; redis's errors hold no credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no connection within {} ms", CONNECT.as_millis())]
    ConnectTimeout,
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error(transparent)]
    Redis(#[from] redis::RedisError),
    #[error("the script's answer has {0} numbers")]
    Answer(usize),
}

impl Failure {
    /// Whether Redis answered, with an error that concerns only what it was asked: a key of another type, say, or what the script stumbled
    /// over. Not what it says of itself, as that it loads, is a replica now, or has no memory left.
    pub(crate) fn is_answer(&self) -> bool {
        match self {
            Self::Answer(_) => true,
            Self::Redis(error) => match error.kind() {
                ErrorKind::Extension => !error.code().is_some_and(|code| OF_ITSELF.contains(&code)),
                kind => matches!(
                    kind,
                    ErrorKind::UnexpectedReturnType
                        | ErrorKind::Server(ServerErrorKind::ResponseError)
                ),
            },
            Self::ConnectTimeout | Self::Timeout(_) => false,
        }
    }
}

/// One connection, shared by all who ask: their questions share its packets.
pub(crate) struct Link {
    connection: Connection,
    script: Script,
    prefix: String,
    patience: Duration,
}

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Connects and tries it out.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Failure> {
        let connect = async {
            // The waits are weir's own, below.
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None);
            Ok::<_, Failure>(match settings.client()? {
                Kind::Single(client) => Connection::Single(
                    client
                        .get_multiplexed_async_connection_with_config(&config)
                        .await?,
                ),
                Kind::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
            })
        };
        let connection = timeout(CONNECT, connect)
            .await
            .map_err(|_| Failure::ConnectTimeout)??;
        let link = Self {
            connection,
            script: Script::new(include_str!("decide.lua")),
            prefix: settings.prefix.clone(),
            patience: settings.timeout,
        };
        // The first one sends the script itself, so it may take longer.
        timeout(
            CONNECT,
            link.run(Mode::Take, 0, Tag::TRIAL, &[Self::trial()?]),
        )
        .await
        .map_err(|_| Failure::ConnectTimeout)??;
        Ok(link)
    }

    /// Asks for something nobody needs, by the same way as everyone: a store that only answers PING is of no use.
    pub(crate) async fn try_out(&self) -> Result<(), Failure> {
        self.decide(Mode::Take, Tag::TRIAL, &[Self::trial()?])
            .await
            .map(drop)
    }

    fn trial() -> Result<Ask<'static>, Failure> {
        let quota = Quota::parse("1000000000/s").map_err(|_| Failure::Answer(0))?;
        Ok(Ask {
            limit: "trial",
            counter: Counter::Window(quota),
            amount: 1,
            dry_run: true,
        })
    }

    /// One decision, by Redis's clock and within the patience.
    pub(crate) async fn decide(
        &self,
        mode: Mode,
        tag: Tag,
        asks: &[Ask<'_>],
    ) -> Result<Vec<Result<Allowed, Wait>>, Failure> {
        timeout(self.patience, self.run(mode, 0, tag, asks))
            .await
            .map_err(|_| Failure::Timeout(self.patience))?
    }

    /// One decision at `micros` since 1970; 0 for Redis's clock.
    pub(crate) async fn run(
        &self,
        mode: Mode,
        micros: u64,
        tag: Tag,
        asks: &[Ask<'_>],
    ) -> Result<Vec<Result<Allowed, Wait>>, Failure> {
        let mut call = self.script.prepare_invoke();
        call.arg(micros).arg(match mode {
            Mode::Take => "take",
            Mode::Give => "give",
        });
        for ask in asks {
            let (one, other) = ask.counter.numbers();
            call.key(ask.counter.key(&self.prefix, tag, ask.limit));
            call.arg(ask.counter.kind()).arg(one).arg(other);
            call.arg(ask.amount).arg(u8::from(ask.dry_run));
        }
        let numbers = self.call(&call).await?;
        let (answers, rest) = numbers.as_chunks::<4>();
        if answers.len() != asks.len() || !rest.is_empty() {
            return Err(Failure::Answer(numbers.len()));
        }
        Ok(asks
            .iter()
            .zip(answers)
            .map(|(ask, answer)| ask.counter.answer(*answer))
            .collect())
    }

    /// Gives to (or, below zero, takes from) one budget, and says what is left.
    pub(crate) async fn change(
        &self,
        tag: Tag,
        limit: &str,
        counter: Counter,
        by: i64,
    ) -> Result<i64, Failure> {
        timeout(self.patience, self.change_at(0, tag, limit, counter, by))
            .await
            .map_err(|_| Failure::Timeout(self.patience))?
    }

    /// The same at `micros` since 1970; 0 for Redis's clock.
    pub(crate) async fn change_at(
        &self,
        micros: u64,
        tag: Tag,
        limit: &str,
        counter: Counter,
        by: i64,
    ) -> Result<i64, Failure> {
        let mut call = self.script.prepare_invoke();
        let (one, other) = counter.numbers();
        call.key(counter.key(&self.prefix, tag, limit));
        call.arg(micros).arg("give").arg(counter.kind());
        call.arg(one).arg(other).arg(by).arg(0);
        let numbers = self.call(&call).await?;
        let left = numbers.get(1).copied();
        left.ok_or(Failure::Answer(numbers.len()))
    }

    async fn call(&self, call: &ScriptInvocation<'_>) -> RedisResult<Vec<i64>> {
        match self.connection.clone() {
            Connection::Single(mut connection) => call.invoke_async(&mut connection).await,
            Connection::Cluster(mut connection) => call.invoke_async(&mut connection).await,
        }
    }

    /// The policy by which Redis forgets keys when its memory is full, unless that is to forget none. `None` too where it does not say.
    pub(crate) async fn evicting(&self) -> Option<String> {
        let mut info = redis::cmd("INFO");
        info.arg("memory");
        let ask = async {
            match self.connection.clone() {
                Connection::Single(mut connection) => info.query_async(&mut connection).await,
                Connection::Cluster(mut connection) => info.query_async(&mut connection).await,
            }
        };
        // Only a warning depends on it: whoever does not say is not waited for.
        let answer: RedisResult<Value> = timeout(CONNECT, ask).await.ok()?;
        let mut texts = Vec::new();
        texts_of(&answer.ok()?, &mut texts);
        texts
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(|line| line.trim().strip_prefix("maxmemory_policy:"))
            .find(|policy| *policy != "noeviction")
            .map(str::to_owned)
    }
}

/// A cluster answers with one text per node.
fn texts_of(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::BulkString(bytes) => texts.push(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => texts.push(text.clone()),
        Value::Array(items) | Value::Set(items) => {
            items.iter().for_each(|item| texts_of(item, texts));
        }
        Value::Map(items) => items.iter().for_each(|(_, item)| texts_of(item, texts)),
        _ => {}
    }
}
