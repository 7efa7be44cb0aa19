//! Reads that fail.

use tokio::time::{Instant, advance};

use super::{BOUND, Setup, TICK, error_of, outage, settle, state_of};

#[tokio::test(start_paused = true)]
async fn a_failing_read_fails_all_its_callers_at_once() {
    let mut setup = Setup::new();
    let calls: Vec<_> = (0..100).map(|_| setup.find()).collect();
    let asked = setup.asked().await;
    advance(BOUND / 2).await;
    asked.answer(Err(outage())).await;
    for call in calls {
        assert!(error_of(call).await.is_unreachable());
    }
    setup.assert_no_read().await;
    assert!(setup.cache.0.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_kept() {
    let mut setup = Setup::new();
    let call = setup.find();
    setup.asked().await.answer(Err(outage())).await;
    assert!(error_of(call).await.is_unreachable());
    let call = setup.find();
    setup.asked().await.answer(Ok(Some(1))).await;
    assert_eq!(state_of(call).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn during_an_outage_a_record_is_served_to_the_bound() {
    let mut setup = Setup::holding(1).await;
    advance(BOUND - TICK).await;
    setup.assert_kept(Some(1)).await;
    advance(TICK).await;
    for _ in 0..2 {
        let call = setup.find();
        setup.asked().await.answer(Err(outage())).await;
        assert!(error_of(call).await.is_unreachable());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_fresh_read_leaves_the_record_that_is_kept() {
    let mut setup = Setup::holding(1).await;
    advance(TICK).await;
    for is_confirming in [false, true] {
        let call = match is_confirming {
            true => setup.confirm(Instant::now()),
            false => setup.find_since(Instant::now()),
        };
        setup.asked().await.answer(Err(outage())).await;
        assert!(error_of(call).await.is_unreachable());
        setup.assert_kept(Some(1)).await;
    }
    advance(BOUND - 2 * TICK).await;
    setup.assert_kept(Some(1)).await;
    advance(TICK).await;
    setup.assert_nothing_kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_read_that_panics_fails_its_callers_and_poisons_nothing() {
    let mut setup = Setup::holding(1).await;
    advance(TICK).await;
    let calls = [setup.find_since(Instant::now()), setup.find_since(Instant::now())];
    drop(setup.asked().await);
    for call in calls {
        assert!(error_of(call).await.is_unreachable());
    }
    setup.assert_kept(Some(1)).await;
    let call = setup.find_since(Instant::now());
    setup.asked().await.answer(Ok(Some(2))).await;
    assert_eq!(state_of(call).await, Some(2));
    assert!(setup.cache.0.in_flight().is_empty());
}

/// Otherwise its result would be older than the bound, and a read that hangs would block all calls.
#[tokio::test(start_paused = true)]
async fn a_read_that_takes_as_long_as_the_bound_fails() {
    let mut setup = Setup::new();
    let call = setup.find();
    let asked = setup.asked().await;
    advance(BOUND - TICK).await;
    settle().await;
    assert!(!call.is_finished());
    advance(2 * TICK).await;
    assert!(error_of(call).await.is_unreachable());
    assert!(asked.answer.is_closed());
    assert!(setup.cache.0.in_flight().is_empty());
    setup.assert_nothing_kept().await;
}

#[tokio::test(start_paused = true)]
async fn what_arrives_just_when_it_is_too_old_is_not_given() {
    let mut setup = Setup::new();
    let call = setup.find();
    let asked = setup.asked().await;
    // The answer and the timeout come at the same instant.
    asked.answer.send(Ok(Some(1))).unwrap();
    advance(BOUND).await;
    assert!(error_of(call).await.is_unreachable());
}
