//! Measures how long another process accepts a token after a bump: with notifications, and with the
//! cache's bound alone.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    Extent, ask,
    cluster::Cluster,
    concurrently, expect,
    node::Node,
    plain, prepare,
    rpc::{Config, Op, Outcome},
    site::Failure,
    start,
    storm::user_id,
    until_listening,
    worker::now,
};

/// The cache's bound in the measurement without notifications.
const BOUND_MS: i64 = 1000;

/// The delay allowed for a worker's poll and for the cache's timer.
const SLACK: Duration = Duration::from_millis(1_000);

/// The time after which a notification counts as lost.
const LOST: Duration = Duration::from_secs(10);

const USERS: usize = 40;

pub async fn measure(extent: &Extent, cluster: &Cluster) -> Result<(), Failure> {
    let database = cluster.database("staleness").await?;
    let driver = plain(database, 16);
    drop(prepare(&driver, USERS).await?);
    let bumping = Node::spawn(&driver)?;

    // The bound is so long that only a notification can end the wait.
    let notified = Config { staleness_ms: Some(600_000), listens: true, ..driver.clone() };
    let notified = Node::spawn(&notified)?;
    until_listening(&notified).await?;
    let (mut after_call, mut after_answer) = (Vec::new(), Vec::new());
    for bump in 0..extent.bumps {
        let user = user_id(bump % USERS);
        let (token, _) = start(&bumping, &user).await?;
        expect(ask(&notified, &token).await == Outcome::Done, "before the bump", &user)?;
        let watched = notified.call_at(Op::WatchUntilRefused { token, pause_us: 0 });
        let op = Op::Bump { user: user.clone() };
        let bumped = async {
            // The watch has started by then.
            tokio::time::sleep(Duration::from_millis(2)).await;
            (now(), bumping.call_at(op).await)
        };
        let both = async { tokio::join!(watched, bumped) };
        let both = timeout(LOST, both).await;
        let ((refused, at), (called, (bump, answered))) =
            both.map_err(|_| format!("{user} was bumped, and not refused for {LOST:?}"))?;
        expect(matches!(refused, Outcome::Rejected(_)), "what it is refused as", &refused)?;
        expect(bump == Outcome::Done, "the bump", &bump)?;
        after_call.push(at.saturating_sub(called));
        after_answer.push(at.saturating_sub(answered));
    }
    let bound = Duration::from_millis(u64::try_from(BOUND_MS)?);
    let polling = Config { staleness_ms: Some(BOUND_MS), ..driver };
    let polling = Node::spawn(&polling)?;
    let mut without = Vec::new();
    for round in 0..(extent.bumps / 500).max(1) {
        let watches = (0..USERS).map(async |user| -> Result<u64, Failure> {
            let user = user_id(user);
            let (token, _) = start(&bumping, &user).await?;
            expect(ask(&polling, &token).await == Outcome::Done, "before the bump", &round)?;
            let watched = polling.call_at(Op::WatchUntilRefused { token, pause_us: 2000 });
            let (watched, bumped) =
                tokio::join!(watched, bumping.call_at(Op::Bump { user: user.clone() }));
            expect(matches!(watched.0, Outcome::Rejected(_)), "what it is refused as", &watched)?;
            Ok(watched.1.saturating_sub(bumped.1))
        });
        for watch in concurrently(watches).await {
            let took = watch?;
            let limit = u64::try_from((bound + SLACK).as_nanos())?;
            expect(took <= limit, "refused within the bound", &Duration::from_nanos(took))?;
            without.push(took);
        }
    }
    let line = serde_json::json!({
        "staleness": {
            "unit": "ms",
            "notified_after_call": summary(&mut after_call),
            "notified_after_answer": summary(&mut after_answer),
            "bound": BOUND_MS,
            "not_notified_after_answer": summary(&mut without),
        }
    });
    println!("{line}");
    Ok(())
}

fn summary(samples: &mut [u64]) -> serde_json::Value {
    samples.sort_unstable();
    let at = |percent: usize| {
        let index = (samples.len() * percent / 100).min(samples.len().saturating_sub(1));
        Duration::from_nanos(samples.get(index).copied().unwrap_or(0)).as_secs_f64() * 1000.0
    };
    let round = |ms: f64| (ms * 1000.0).round() / 1000.0;
    serde_json::json!({
        "samples": samples.len(),
        "median": round(at(50)),
        "p99": round(at(99)),
        "max": round(at(100)),
    })
}
