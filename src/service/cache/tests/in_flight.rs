//! Loads in flight during an invalidation or a newer load.

use tokio::time::{Instant, advance};

use super::{BOUND, Cache, Setup, TICK, outage, settle, state_of};

type Invalidate = fn(&Cache<u64>);

const BOTH: [Invalidate; 2] = [|cache| cache.invalidate("alice"), Cache::invalidate_all];

#[tokio::test(start_paused = true)]
async fn an_invalidation_drops_what_is_kept() {
    for invalidate in BOTH {
        let mut setup = Setup::holding(1).await;
        setup.cache.invalidate("bob");
        setup.assert_kept(Some(1)).await;
        invalidate(&setup.cache);
        let call = setup.find();
        setup.asked().await.answer(Ok(Some(2))).await;
        assert_eq!(state_of(call).await, Some(2));
    }
}

/// Moka's `try_get_with` (0.12) keeps such a load.
#[tokio::test(start_paused = true)]
async fn a_load_that_an_invalidation_overtook_is_not_kept() {
    for invalidate in BOTH {
        let mut setup = Setup::new();
        let before = setup.find();
        let stale = setup.asked().await;
        invalidate(&setup.cache);
        // A later call does not share the old read.
        let after = setup.find();
        let asked = setup.asked().await;
        stale.answer(Ok(Some(1))).await;
        // The calls that waited for the old read wait for the new one.
        setup.assert_no_read().await;
        assert!(!before.is_finished() && !after.is_finished());
        asked.answer(Ok(Some(2))).await;
        assert_eq!((state_of(before).await, state_of(after).await), (Some(2), Some(2)));
        setup.assert_kept(Some(2)).await;
        assert!(setup.cache.0.in_flight().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_overtaken_load_that_lands_late_replaces_nothing() {
    for invalidate in BOTH {
        let mut setup = Setup::new();
        let before = setup.find();
        let stale = setup.asked().await;
        invalidate(&setup.cache);
        let after = setup.find();
        setup.asked().await.answer(Ok(Some(2))).await;
        assert_eq!(state_of(after).await, Some(2));
        stale.answer(Ok(Some(1))).await;
        setup.assert_no_read().await;
        assert_eq!(state_of(before).await, Some(2));
        setup.assert_kept(Some(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_overtaken_again_and_again_ends() {
    let mut setup = Setup::new();
    let call = setup.find();
    for state in 1..=4 {
        let asked = setup.asked().await;
        assert!(!call.is_finished());
        setup.cache.invalidate("alice");
        asked.answer(Ok(Some(state))).await;
    }
    setup.assert_no_read().await;
    assert_eq!(state_of(call).await, Some(4));
    setup.assert_nothing_kept().await;
}

#[tokio::test(start_paused = true)]
async fn an_overtaken_load_that_fails_fails_its_callers() {
    let mut setup = Setup::new();
    let call = setup.find();
    let asked = setup.asked().await;
    setup.cache.invalidate("alice");
    asked.answer(Err(outage())).await;
    assert!(super::error_of(call).await.is_unreachable());
    setup.assert_no_read().await;
}

#[tokio::test(start_paused = true)]
async fn an_older_load_that_lands_after_a_newer_one_is_not_kept() {
    let mut setup = Setup::new();
    let older = setup.find();
    let slow = setup.asked().await;
    advance(TICK).await;
    let newer = setup.find_since(Instant::now());
    setup.asked().await.answer(Ok(Some(2))).await;
    assert_eq!(state_of(newer).await, Some(2));
    assert!(!older.is_finished());
    slow.answer(Ok(Some(1))).await;
    // It began at the same time as that call, which can therefore use it.
    assert_eq!(state_of(older).await, Some(1));
    setup.assert_kept(Some(2)).await;
    advance(BOUND - TICK).await;
    setup.assert_kept(Some(2)).await;
}

#[tokio::test(start_paused = true)]
async fn an_older_load_is_kept_until_a_newer_one_lands() {
    let mut setup = Setup::new();
    let older = setup.find();
    let first = setup.asked().await;
    advance(TICK).await;
    let newer = setup.find_since(Instant::now());
    let second = setup.asked().await;
    first.answer(Ok(Some(1))).await;
    assert_eq!(state_of(older).await, Some(1));
    setup.assert_kept(Some(1)).await;
    second.answer(Ok(Some(2))).await;
    assert_eq!(state_of(newer).await, Some(2));
    setup.assert_kept(Some(2)).await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_overtakes_older_and_newer_loads() {
    for invalidate in BOTH {
        let mut setup = Setup::new();
        let calls = [setup.find(), {
            settle().await;
            advance(TICK).await;
            setup.find_since(Instant::now())
        }];
        let (first, second) = (setup.asked().await, setup.asked().await);
        invalidate(&setup.cache);
        second.answer(Ok(Some(2))).await;
        first.answer(Ok(Some(1))).await;
        setup.asked().await.answer(Ok(Some(3))).await;
        for call in calls {
            assert_eq!(state_of(call).await, Some(3));
        }
        setup.assert_kept(Some(3)).await;
        assert!(setup.cache.0.in_flight().is_empty());
    }
}
