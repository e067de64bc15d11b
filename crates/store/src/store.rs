//! The store as requests see it: asked when it is there, and known to be away without asking. One task, [`Store::keep`], connects, tries
//! the link each second, connects again, and settles what streams owe.

use std::{
    fmt,
    future::ready,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Duration, Instant, MissedTickBehavior, interval, sleep, timeout},
};
use weir_limit::{Allowed, Wait};

use crate::{
    counter::{Ask, Tag},
    link::{Failure, Link, Mode},
    settings::Settings,
    settle::{Added, Debts, MOST, Settle},
};

/// Between two attempts to connect, and between two trials of a link.
const PAUSE: Duration = Duration::from_millis(500);

/// Errors that the store answers are told this often at most: each request may meet one.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The store decided nothing: it cannot be asked now, which is known at once, except by those who were asking when it went; or it
/// answered this one question with an error, and others may be decided all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store gave no decision")]
pub struct Undecided;

/// Counts what happens between weir and a store. Called on the hot path: must be quick and must not block.
pub trait StoreEvents: Send + Sync {
    /// Whether it can be asked from now on.
    fn up(&self, up: bool);
    /// It went away, or was not there at first: told once for each time.
    fn went_away(&self);
    /// A decision took so long.
    fn decided(&self, took: Duration);
    /// Whether Redis may forget counters when its memory is full.
    fn evicting(&self, evicting: bool);
    /// It answered a question with an error.
    fn erred(&self);
    /// A settlement was lost: too many counters owed something while the store was away, or it answered with an error.
    fn lost(&self);
}

/// A store that several processes share.
pub struct Store {
    settings: Settings,
    events: Box<dyn StoreEvents>,
    link: ArcSwapOption<Link>,
    /// Wakes the keeper when somebody found the link broken.
    broken: Notify,
    /// Whether the present absence was told of.
    told: AtomicBool,
    /// When an error that it answered was told last.
    told_error: Mutex<Option<Instant>>,
    /// Whether it was ever tried.
    tried: watch::Sender<bool>,
    queue: mpsc::Sender<Settle>,
    inbox: Mutex<Option<mpsc::Receiver<Settle>>>,
    unsettled: AtomicUsize,
}

impl Store {
    /// Not connected yet: [`Store::keep`] does that.
    pub fn new(settings: Settings, events: Box<dyn StoreEvents>) -> Arc<Self> {
        let (queue, inbox) = mpsc::channel(MOST);
        Arc::new(Self {
            settings,
            events,
            link: ArcSwapOption::empty(),
            broken: Notify::new(),
            told: AtomicBool::new(false),
            told_error: Mutex::new(None),
            tried: watch::Sender::new(false),
            queue,
            inbox: Mutex::new(Some(inbox)),
            unsettled: AtomicUsize::new(0),
        })
    }

    /// What it was made from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks all of these counters of one identity for their amounts: all give, or none does, except those on trial. In the order asked.
    ///
    /// # Errors
    /// When the store is away, or answers with an error. Whether it had counted by then is unknown.
    pub async fn take(
        &self,
        tag: Tag,
        asks: &[Ask<'_>],
    ) -> Result<Vec<Result<Allowed, Wait>>, Undecided> {
        self.decide(Mode::Take, tag, asks).await
    }

    /// Takes back what another limit refused. If the store has gone in between, so has the counter's certainty.
    pub async fn give_back(&self, tag: Tag, asks: &[Ask<'_>]) {
        let _ = self.decide(Mode::Give, tag, asks).await;
    }

    /// Changes a budget soon. Never waits.
    pub fn settle(&self, settle: Settle) {
        self.unsettled.fetch_add(1, SeqCst);
        if self.queue.try_send(settle).is_err() {
            self.unsettled.fetch_sub(1, SeqCst);
            self.events.lost();
        }
    }

    /// Resolves when what streams owed is settled, or cannot be for now: for the end of the process.
    pub async fn settled(&self) {
        let none_left = async {
            while self.unsettled.load(SeqCst) > 0 && self.link.load().is_some() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        // A store that dies right now must not hold up the exit.
        let _ = timeout(PAUSE, none_left).await;
    }

    /// Resolves when it was tried for the first time, whatever came of it: a process that serves before would count by itself.
    pub async fn tried(&self) {
        // The sender lives as long as this.
        let _ = self.tried.subscribe().wait_for(|tried| *tried).await;
    }

    async fn decide(
        &self,
        mode: Mode,
        tag: Tag,
        asks: &[Ask<'_>],
    ) -> Result<Vec<Result<Allowed, Wait>>, Undecided> {
        let link = self.link.load_full().ok_or(Undecided)?;
        let began = Instant::now();
        let answer = link.decide(mode, tag, asks).await;
        self.events.decided(began.elapsed());
        answer.map_err(|why| {
            if why.is_answer() {
                self.erred(&why);
            } else {
                self.failed(&link, &why);
            }
            Undecided
        })
    }

    /// The link is broken: nobody asks it again, and the keeper makes a new one. Of all who find that out, the first tells.
    fn failed(&self, link: &Arc<Link>, why: &Failure) {
        let before = self.link.compare_and_swap(link, None);
        if before.as_ref().is_some_and(|had| Arc::ptr_eq(had, link)) {
            self.tell(why);
            self.broken.notify_one();
        }
    }

    /// One question went wrong; the link is as good as before, and its next trial will say if not.
    fn erred(&self, why: &Failure) {
        self.events.erred();
        let mut told = self
            .told_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(store = %self.settings.name, "the store answers with an error: {why}; the limits asked do what their on_store_failure says, a settlement is lost");
        }
    }

    fn tell(&self, why: &Failure) {
        self.events.up(false);
        if !self.told.swap(true, Relaxed) {
            self.events.went_away();
            tracing::warn!(store = %self.settings.name, "the store of shared limits is away: {why}; each limit does what its on_store_failure says until it is back");
        }
    }

    /// Keeps the link until nobody else holds the store. To be spawned once, on the runtime that lives as long as the process.
    pub async fn keep(self: Arc<Self>) {
        let inbox = self
            .inbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut inbox) = inbox else { return };
        let mut debts = Debts::default();
        while Arc::strong_count(&self) > 1 || self.unsettled.load(SeqCst) > 0 {
            match Link::open(&self.settings).await {
                Ok(link) => {
                    let link = Arc::new(link);
                    self.there(&link).await;
                    self.serve(&link, &mut inbox, &mut debts).await;
                }
                Err(why) => {
                    self.tell(&why);
                    self.tried.send_replace(true);
                    if Arc::strong_count(&self) == 1 {
                        return;
                    }
                }
            }
            let pause = sleep(PAUSE);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(settle) = inbox.recv() => self.owe(&mut debts, settle),
                }
            }
        }
    }

    async fn there(&self, link: &Arc<Link>) {
        let policy = link.evicting().await;
        self.events.evicting(policy.is_some());
        if let Some(policy) = policy {
            tracing::warn!(store = %self.settings.name, "Redis forgets keys when its memory is full (maxmemory-policy {policy}): quotas may begin anew without a word; set it to noeviction");
        }
        self.link.store(Some(Arc::clone(link)));
        self.events.up(true);
        if self.told.swap(false, Relaxed) {
            tracing::info!(store = %self.settings.name, "the store of shared limits is back");
        }
        self.tried.send_replace(true);
    }

    /// Until the link breaks, or nobody holds the store.
    async fn serve(
        self: &Arc<Self>,
        link: &Arc<Link>,
        inbox: &mut mpsc::Receiver<Settle>,
        debts: &mut Debts,
    ) {
        let mut trial = interval(PAUSE);
        trial.set_missed_tick_behavior(MissedTickBehavior::Delay);
        trial.reset();
        loop {
            // However much there is to settle, one turn settles what of it is of one counter, and then the link has its trial.
            while let Ok(settle) = inbox.try_recv() {
                self.owe(debts, settle);
            }
            if let Some(settle) = debts.take() {
                match link
                    .change(settle.tag, &settle.limit, settle.counter(), settle.by)
                    .await
                {
                    Ok(left) => {
                        settle.done(left);
                        self.unsettled.fetch_sub(1, SeqCst);
                    }
                    Err(why) if why.is_answer() => {
                        // Again it would be answered so: kept, it would stand before all others for ever.
                        self.erred(&why);
                        self.events.lost();
                        self.unsettled.fetch_sub(1, SeqCst);
                    }
                    Err(why) => {
                        // Whether it was counted is unknown; once more is the safe side of a budget.
                        debts.put_back(settle);
                        return self.failed(link, &why);
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.broken.notified() => {
                    // Perhaps an older link's.
                    if self.link.load().is_none() {
                        return;
                    }
                }
                _ = trial.tick() => {
                    if let Err(why) = link.try_out().await {
                        return self.failed(link, &why);
                    }
                    if Arc::strong_count(self) == 1 && debts.is_empty() {
                        return;
                    }
                }
                () = ready(()), if !debts.is_empty() => {}
                Some(settle) = inbox.recv() => self.owe(debts, settle),
            }
        }
    }

    fn owe(&self, debts: &mut Debts, settle: Settle) {
        match debts.add(settle) {
            Added::New => {}
            Added::Merged => {
                self.unsettled.fetch_sub(1, SeqCst);
            }
            Added::Full => {
                self.unsettled.fetch_sub(1, SeqCst);
                self.events.lost();
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("settings", &self.settings)
            .field("up", &self.link.load().is_some())
            .finish_non_exhaustive()
    }
}
