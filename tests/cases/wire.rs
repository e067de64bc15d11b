//! What may be on the wire, as data: the bytes a client sends, the statuses that come back, whether the connection is kept, and what the
//! upstream saw. The tables are in `wire/`; a case is one line of bytes and its outcome, and every failure of a table is told at once.

mod answers;
mod cases;
mod mutations;
mod stage;

use stage::{Case, Seen, Stage};

/// Runs a table against one weir.
async fn holds(table: &[Case]) {
    let stage = Stage::start().await;
    let mut failures = Vec::new();
    for case in table {
        if let Err(why) = stage.run(case).await {
            failures.push(format!("{}: {why}\n    sent {:?}", case.id, case.send));
        }
    }
    // Nothing may arrive late either: a smuggled request would come when its case is long forgotten.
    if let Some(late) = stage.late().await {
        failures.push(format!("the upstream saw more: {late:?}"));
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        table.len(),
        failures.join("\n")
    );
}

#[tokio::test]
async fn framing() {
    holds(&cases::framing()).await;
}

#[tokio::test]
async fn chunks() {
    holds(&cases::chunks()).await;
}

#[tokio::test]
async fn heads() {
    holds(&cases::heads()).await;
}

#[tokio::test]
async fn targets() {
    holds(&cases::targets()).await;
}

#[tokio::test]
async fn hosts() {
    holds(&cases::hosts()).await;
}

#[tokio::test]
async fn hops() {
    holds(&cases::hops()).await;
}

#[tokio::test]
async fn pipelines() {
    holds(&cases::pipelines()).await;
}

#[tokio::test]
async fn sizes() {
    holds(&cases::sizes()).await;
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names: Vec<_> = cases::all().iter().map(|case| case.id.clone()).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count >= 133, "{count} cases");
}

/// Every request is what the client sent, whole and in order.
fn same(seen: &[Seen], expected: &[&str]) -> Result<(), String> {
    let mut seen = seen.iter();
    for pattern in expected {
        let optional = pattern.starts_with('?');
        let pattern = pattern.trim_start_matches('?');
        match seen.as_slice().first() {
            Some(request) => match request.fits(pattern) {
                Ok(()) => drop(seen.next()),
                Err(_) if optional => {}
                Err(why) => {
                    return Err(format!(
                        "the upstream saw {request:?}, not {pattern:?}: {why}"
                    ));
                }
            },
            None if optional => {}
            None => return Err(format!("the upstream never saw {pattern:?}")),
        }
    }
    match seen.next() {
        Some(more) => Err(format!("the upstream saw {more:?} too")),
        None => Ok(()),
    }
}
