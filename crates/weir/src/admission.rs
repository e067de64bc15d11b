//! Whether a request passes all limits of its route. All of them are asked, so that the longest wait can be told; and a request that one
//! refuses is given back to the others: it never went on, so it counts nowhere.
//!
//! Counters of one identity in one store are asked in one script, which takes from all or from none. Only where identities or stores
//! differ is something taken first and given back after, and for that moment others may see less than there is.

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use weir_config::plan::{LimitKind, OnStoreFailure, Route};
use weir_limit::{Allowed, Facts, Headers, Key, Wait};
use weir_store::{Ask, Store, Tag};

use crate::{
    client::Client,
    gateway::Gateway,
    ledger::Ledger,
    limits::{LimitState, Local},
    refusal::Refusal,
    reservation::{Account, Reservation},
};

/// Asks all limits of the route; what the caller is told of them, and what it holds until the exchange is over, go to the ledger. Waits where a
/// limit delays.
pub(crate) async fn admit(
    gateway: &Gateway,
    route: &Route,
    facts: &Facts<'_>,
    client: &Client,
    now: SystemTime,
    ledger: &mut Ledger,
) -> Result<(), Refusal> {
    // Boxed, as the other waits are: one future per connection carries the whole pipeline, and few requests wait here.
    let delay = match &route.limits[..] {
        [only] if gateway.limits[*only].is_alone() => ask_one(gateway, *only, facts, now, ledger)?,
        _ => Box::pin(ask_all(gateway, route, facts, ledger)).await?,
    };
    if delay.is_zero() {
        return Ok(());
    }
    Box::pin(hold(delay, client)).await
}

/// The only limit of a route, in this process: there is nobody else to ask, and nothing to give back. How long the request is to be held.
fn ask_one(
    gateway: &Gateway,
    limit: usize,
    facts: &Facts<'_>,
    now: SystemTime,
    ledger: &mut Ledger,
) -> Result<Duration, Refusal> {
    let mut one = Asked::new(&gateway.limits[limit], facts);
    one.ask_here(facts, now);
    if let Some((_, answer)) = one.told() {
        ledger.tells_of(limit, answer);
    }
    if let Some((refusal, wait)) = one.refuses() {
        ledger.tells([weir_limit::retry_after(wait)]);
        return Err(refusal);
    }
    let delay = one.delay();
    if let Some(reservation) = one.reservation() {
        ledger.reserves(reservation);
    }
    Ok(delay)
}

async fn ask_all(
    gateway: &Gateway,
    route: &Route,
    facts: &Facts<'_>,
    ledger: &mut Ledger,
) -> Result<Duration, Refusal> {
    let limits = || route.limits.iter().map(|index| &gateway.limits[*index]);
    // Streams first: that costs nothing, and a slot gives itself back.
    for state in limits() {
        if let Local::Streams(streams) = &state.counter {
            let slot = streams.acquire(&state.limit.by.key(facts));
            state.series.decided(word(slot.is_some(), false));
            ledger.holds(slot.ok_or(Refusal::TooManyStreams)?);
        }
    }
    let mut asked: Vec<Asked<'_>> = limits()
        .filter(|state| !matches!(state.counter, Local::Streams(_)))
        .map(|state| Asked::new(state, facts))
        .collect();
    if asked
        .iter()
        .any(|one| matches!(one.place, Place::There(..)))
    {
        ask_stores(&mut asked).await;
    }
    let now = SystemTime::now();
    for one in &mut asked {
        one.ask_here(facts, now);
    }
    let verdict = verdict(&asked);
    if verdict.is_err() {
        give_back(&mut asked, now).await;
    }
    for (headers, answer) in asked.iter().filter_map(Asked::told) {
        ledger.tells(headers.after(answer));
    }
    if let Err((refusal, wait)) = verdict {
        ledger.tells([weir_limit::retry_after(wait)]);
        return Err(refusal);
    }
    let delay = asked.iter().map(Asked::delay).max().unwrap_or_default();
    for one in asked {
        if let Some(reservation) = one.reservation() {
            ledger.reserves(reservation);
        }
    }
    Ok(delay)
}

/// One limit and its answer.
struct Asked<'a> {
    state: &'a LimitState,
    place: Place<'a>,
    answer: Option<Result<Allowed, Wait>>,
    /// Whether what was allowed was also taken: a script that refuses one takes nothing of the others.
    taken: bool,
}

/// Where a limit is counted.
enum Place<'a> {
    Here(Key),
    There(&'a Arc<Store>, Tag),
    /// Nowhere: its store is away, and everybody passes.
    Allow,
    /// Nowhere: its store is away, and nobody passes.
    Deny,
}

impl<'a> Asked<'a> {
    fn new(state: &'a LimitState, facts: &Facts<'_>) -> Self {
        let place = match &state.store {
            Some(store) => Place::There(store, Tag::of(&state.limit.by.identity(facts))),
            None => Place::Here(state.limit.by.key(facts)),
        };
        Self {
            state,
            place,
            answer: None,
            taken: false,
        }
    }

    fn ask(&self) -> Option<Ask<'a>> {
        Some(Ask {
            limit: &self.state.limit.name,
            counter: self.state.shared()?,
            amount: self.state.amount(),
            dry_run: self.state.limit.dry_run,
        })
    }

    /// What the plan says for a store that is away.
    fn store_is_away(&mut self) {
        let (place, word) = match self.state.limit.on_store_failure {
            OnStoreFailure::Local => return self.state.series.decided("local"), // by `ask_here`
            OnStoreFailure::Allow => (Place::Allow, "allow"),
            OnStoreFailure::Deny => (Place::Deny, "deny"),
        };
        self.state.series.decided(word);
        self.place = place;
    }

    /// In this process; also what a store that is away has left unanswered.
    fn ask_here(&mut self, facts: &Facts<'_>, now: SystemTime) {
        if self.answer.is_some() || matches!(self.place, Place::Allow | Place::Deny) {
            return;
        }
        let key = match self.place {
            Place::Here(key) => key,
            _ => self.state.limit.by.key(facts),
        };
        self.answer = match &self.state.counter {
            Local::Rate(rate) => Some(rate.check(&key, now)),
            Local::Tokens(tokens) => Some(tokens.reserve(&key, self.state.amount(), now)),
            Local::Streams(_) => None,
        };
        self.taken = matches!(self.answer, Some(Ok(_)));
        self.place = Place::Here(key);
    }

    /// Why and for how long it keeps the request out.
    fn refuses(&self) -> Option<(Refusal, Duration)> {
        if self.state.limit.dry_run {
            return None;
        }
        if matches!(self.place, Place::Deny) {
            return Some((Refusal::LimitStoreAway, Duration::from_secs(1)));
        }
        let wait = self.answer?.err()?;
        let refusal = match self.state.limit.kind {
            LimitKind::Tokens { .. } => Refusal::OutOfTokens,
            LimitKind::Rate(..) | LimitKind::Streams(_) => Refusal::RateLimited,
        };
        Some((refusal, wait.retry_after))
    }

    fn delay(&self) -> Duration {
        match self.answer {
            Some(Ok(allowed)) if !self.state.limit.dry_run => allowed.delay,
            _ => Duration::ZERO,
        }
    }

    /// Counts the decision; and what the client is to be told, unless it is none of its business.
    fn told(&self) -> Option<(&'a Headers, &Result<Allowed, Wait>)> {
        let (answer, headers) = (self.answer.as_ref()?, self.state.headers.as_ref()?);
        let dry_run = self.state.limit.dry_run;
        self.state.series.decided(match answer {
            Ok(allowed) if allowed.delay.is_zero() => word(true, dry_run),
            Ok(_) if dry_run => "would_delay",
            Ok(_) => "delayed",
            Err(_) => word(false, dry_run),
        });
        (!dry_run).then_some((headers, answer))
    }

    /// The tokens set aside; none on a dry run that would have refused, which is counted all the same.
    fn reservation(self) -> Option<Reservation> {
        let LimitKind::Tokens { quota, cut, .. } = self.state.limit.kind else {
            return None;
        };
        let account = match (self.place, &self.state.counter) {
            (Place::Here(key), Local::Tokens(budget)) => Account::Here(Arc::clone(budget), key),
            (Place::There(store, tag), _) => Account::There {
                store: Arc::clone(store),
                tag,
                limit: Arc::clone(&self.state.name),
                quota,
                left: Arc::new(AtomicI64::new(0)),
            },
            _ => return None,
        };
        let reserved = if self.taken { self.state.amount() } else { 0 };
        Some(Reservation::new(
            account,
            reserved,
            cut && !self.state.limit.dry_run,
        ))
    }
}

/// Asks the counters that others share: one script for each store and identity, all at the same time.
async fn ask_stores(asked: &mut [Asked<'_>]) {
    let mut groups: Vec<(&Arc<Store>, Tag, Vec<usize>)> = Vec::new();
    for (index, one) in asked.iter().enumerate() {
        let Place::There(store, tag) = one.place else {
            continue;
        };
        let same =
            |group: &&mut (&Arc<Store>, Tag, _)| Arc::ptr_eq(group.0, store) && group.1 == tag;
        match groups.iter_mut().find(same) {
            Some((_, _, members)) => members.push(index),
            None => groups.push((store, tag, vec![index])),
        }
    }
    let answers = join_all(groups.iter().map(async |(store, tag, members)| {
        let asks: Vec<Ask<'_>> = members.iter().filter_map(|one| asked[*one].ask()).collect();
        store.take(*tag, &asks).await
    }))
    .await;
    let groups: Vec<_> = groups.into_iter().map(|(_, _, members)| members).collect();
    for (members, answers) in groups.into_iter().zip(answers) {
        let Ok(answers) = answers else {
            members
                .into_iter()
                .for_each(|one| asked[one].store_is_away());
            continue;
        };
        for (one, answer) in members.iter().zip(answers) {
            asked[*one].answer = Some(answer);
        }
        let refused = members.iter().any(|one| asked[*one].refuses().is_some());
        for one in members {
            let one = &mut asked[one];
            one.taken = !refused && matches!(one.answer, Some(Ok(_)));
        }
    }
}

/// The longest wait.
fn verdict(asked: &[Asked<'_>]) -> Result<(), (Refusal, Duration)> {
    asked
        .iter()
        .filter_map(Asked::refuses)
        .max_by_key(|(_, wait)| *wait)
        .map_or(Ok(()), Err)
}

async fn give_back(asked: &mut [Asked<'_>], now: SystemTime) {
    for one in asked {
        if one.taken {
            match &one.place {
                Place::Here(key) => one.state.give_back(key, now),
                Place::There(store, tag) => {
                    if let Some(ask) = one.ask() {
                        store.give_back(*tag, &[ask]).await;
                    }
                }
                Place::Allow | Place::Deny => {}
            }
            one.taken = false;
        }
        if let Some(Ok(allowed)) = &mut one.answer {
            let remaining = allowed.remaining.saturating_add(one.state.amount());
            allowed.remaining = remaining.min(allowed.limit);
            allowed.delay = Duration::ZERO;
        }
    }
}

/// A client that leaves meanwhile, or a weir that stops, ends the wait.
async fn hold(delay: Duration, client: &Client) -> Result<(), Refusal> {
    let seat = client.downstream.wait_on_upstream();
    tokio::select! {
        () = tokio::time::sleep(delay) => Ok(()),
        () = seat.was_cut() => Err(Refusal::Stopping),
    }
}

fn word(allowed: bool, dry_run: bool) -> &'static str {
    match (allowed, dry_run) {
        (true, _) => "allowed",
        (false, true) => "would_refuse",
        (false, false) => "refused",
    }
}
