//! The search through one configuration, and its report.

use std::{collections::BTreeSet, sync::atomic::Ordering::Relaxed, thread, time::Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::{configuration::Configuration, laws::Law, sights::Sight, steps::World};

/// Searches the whole configuration. Gives `true` if every law holds, every required event was seen,
/// and every state was expanded.
pub(crate) fn search(bounds: &Configuration) -> bool {
    let begun = Instant::now();
    let checker = World::new(*bounds)
        .checker()
        .threads(threads())
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let world = checker.model();
    let (states, expanded) = (checker.unique_state_count(), world.expanded.load(Relaxed));
    let seen: Vec<&str> =
        Sight::ALL.into_iter().filter(|sight| world.has_seen(*sight)).map(Sight::name).collect();
    println!(
        "{:26} {states:>9} states, {:>2} deep, {:>5.1} s: {}",
        bounds.name,
        checker.max_depth(),
        begun.elapsed().as_secs_f32(),
        seen.join(", "),
    );
    let discoveries = checker.discoveries();
    for (law, path) in &discoveries {
        println!("broken: {law}");
        for step in path.clone().into_actions() {
            println!("    {step:?}");
        }
        let last = path.last_state();
        println!("{last:#?}\n{:#?}", world.library.row(last.row));
    }
    let missing: Vec<&str> = bounds
        .sights
        .iter()
        .filter(|sight| !world.has_seen(**sight))
        .map(|sight| sight.name())
        .collect();
    if !missing.is_empty() {
        println!("never seen: {}", missing.join(", "));
    }
    let is_complete = states == expanded;
    if discoveries.is_empty() && !is_complete {
        println!("cut off: {expanded} of the states were expanded");
    }
    discoveries.is_empty() && missing.is_empty() && is_complete
}

/// Searches until this law is broken. Gives the number of steps to that state, or `None`.
pub(crate) fn refute(bounds: &Configuration, law: Law) -> Option<usize> {
    let checker = World::new(*bounds)
        .checker()
        .threads(threads())
        .finish_when(HasDiscoveries::AllOf(BTreeSet::from([law.name()])))
        .spawn_bfs()
        .join();
    checker.discovery(law.name()).map(|path| path.into_actions().len())
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
