//! Reads that confirm a rejection.

use std::time::Duration;

use tokio::time::{Instant, advance, sleep};

use super::{BOUND, Call, Setup, TICK, ended, error_of, outage, settle, state_of};
use crate::service::cache::CONFIRM_INTERVAL;

#[tokio::test(start_paused = true)]
async fn a_confirmation_takes_what_was_read_late_enough() {
    let mut setup = Setup::holding(1).await;
    let read_at = Instant::now();
    let call = setup.confirm(read_at);
    setup.assert_no_read().await;
    assert_eq!(state_of(call).await, Some(1));
    // It also shares a read of another kind.
    advance(TICK).await;
    let since = Instant::now();
    let (fresh, confirmed) = (setup.find_since(since), setup.confirm(since));
    setup.asked().await.answer(Ok(Some(2))).await;
    assert_eq!((state_of(fresh).await, state_of(confirmed).await), (Some(2), Some(2)));
    setup.assert_no_read().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_too_soon_waits_for_the_next_confirmation() {
    let mut setup = Setup::holding(1).await;
    advance(TICK).await;
    let first = setup.confirm(Instant::now());
    setup.asked().await.answer(Ok(Some(2))).await;
    assert_eq!(state_of(first).await, Some(2));

    advance(TICK).await;
    let since = Instant::now();
    let others: Vec<_> = (0..100).map(|_| setup.confirm(since)).collect();
    setup.assert_no_read().await;
    advance(CONFIRM_INTERVAL - 2 * TICK).await;
    setup.assert_no_read().await;
    // Timers may be a millisecond late.
    advance(2 * TICK).await;
    let asked = setup.asked().await;
    assert!(asked.began >= since);
    setup.assert_no_read().await;
    asked.answer(Ok(Some(3))).await;
    for other in others {
        assert_eq!(state_of(other).await, Some(3));
    }
}

#[tokio::test(start_paused = true)]
async fn confirmations_are_paced_for_each_user() {
    let mut setup = Setup::new();
    for id in ["alice", "bob"] {
        let since = Instant::now();
        let call = setup.call(move |cache| async move { cache.confirm(id, since).await });
        setup.asked().await.answer(Ok(Some(1))).await;
        assert_eq!(state_of(call).await, Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn each_interval_has_one_confirmation_however_many_ask() {
    let mut setup = Setup::holding(0).await;
    let mut calls: Vec<(Instant, Call)> = Vec::new();
    let mut reads = Vec::new();
    for tick in 0..1000 {
        if tick % 3 == 0 {
            calls.push((Instant::now(), setup.confirm(Instant::now())));
        }
        settle().await;
        while let Ok(asked) = setup.asked.try_recv() {
            reads.push(asked.began);
            asked.answer(Ok(Some(tick))).await;
        }
        sleep(TICK).await;
    }
    assert!(reads.windows(2).all(|pair| pair[1] - pair[0] >= CONFIRM_INTERVAL));
    assert!((3..=5).contains(&reads.len()), "{}", reads.len());
    advance(CONFIRM_INTERVAL).await;
    let last = setup.asked().await;
    last.answer(Ok(Some(1000))).await;
    for (since, call) in calls {
        assert!(ended(call).await.unwrap().began >= since);
    }
}

/// All waiting calls fail at once, not one per interval.
#[tokio::test(start_paused = true)]
async fn a_failing_confirmation_fails_all_who_waited_for_it() {
    let mut setup = Setup::holding(1).await;
    advance(TICK).await;
    let first = setup.confirm(Instant::now());
    setup.asked().await.answer(Err(outage())).await;
    assert!(error_of(first).await.is_unreachable());

    let late = setup.confirm(Instant::now());
    assert!(error_of(late).await.is_unreachable(), "its read began no earlier");

    advance(TICK).await;
    let since = Instant::now();
    let waiting: Vec<_> = (0..10).map(|_| setup.confirm(since)).collect();
    advance(CONFIRM_INTERVAL).await;
    setup.asked().await.answer(Err(outage())).await;
    let late = setup.confirm(since);
    for call in waiting.into_iter().chain([late]) {
        assert!(error_of(call).await.is_unreachable());
    }
    setup.assert_no_read().await;
    setup.assert_kept(Some(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_overtaken_confirmation_confirms_nothing() {
    let mut setup = Setup::holding(1).await;
    advance(TICK).await;
    let since = Instant::now();
    let call = setup.confirm(since);
    let stale = setup.asked().await;
    setup.cache.invalidate("alice");
    stale.answer(Ok(Some(2))).await;
    let other = setup.confirm(since);
    setup.assert_no_read().await;
    assert!(!call.is_finished() && !other.is_finished());
    advance(CONFIRM_INTERVAL + TICK).await;
    setup.asked().await.answer(Ok(Some(3))).await;
    assert_eq!((state_of(call).await, state_of(other).await), (Some(3), Some(3)));
}

#[tokio::test(start_paused = true)]
async fn nothing_stays_of_a_confirmation() {
    for is_panicking in [false, true] {
        let mut setup = Setup::new();
        let call = setup.confirm(Instant::now());
        let asked = setup.asked().await;
        match is_panicking {
            true => drop(asked),
            false => asked.answer(Ok(None)).await,
        }
        assert_eq!(ended(call).await.is_err(), is_panicking);
        assert!(!setup.cache.0.in_flight().is_empty());
        advance(CONFIRM_INTERVAL + TICK).await;
        settle().await;
        assert!(setup.cache.0.in_flight().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_that_takes_longer_than_the_interval_is_waited_for_by_the_next() {
    let mut setup = Setup::new();
    let first = setup.confirm(Instant::now());
    let slow = setup.asked().await;
    advance(4 * CONFIRM_INTERVAL).await;
    let second = setup.confirm(Instant::now());
    let third = setup.confirm(Instant::now());
    setup.assert_no_read().await;
    slow.answer(Ok(Some(1))).await;
    assert_eq!(state_of(first).await, Some(1));
    // The first read began too early for the other calls, which share one.
    setup.asked().await.answer(Ok(Some(2))).await;
    assert_eq!(state_of(second).await, Some(2));
    assert_eq!(state_of(third).await, Some(2));
    setup.assert_kept(Some(2)).await;
    advance(BOUND.min(Duration::from_secs(1))).await;
    settle().await;
    assert!(setup.cache.0.in_flight().is_empty());
}
