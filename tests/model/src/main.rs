#![doc = include_str!("../README.md")]

mod configuration;
mod configurations;
mod laws;
mod library;
mod memo;
mod promise;
mod search;
mod sights;
mod state;
mod steps;
mod store;

use std::process::ExitCode;

use self::{
    configurations::{CONFIGURATIONS, deep},
    laws::Law,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let named = |name| CONFIGURATIONS.iter().find(|bounds| bounds.name == name);
    let holds = match arguments[..] {
        // Not `all`, which would stop at the first that fails.
        [] => CONFIGURATIONS.iter().filter(|bounds| !search::search(bounds)).count() == 0,
        ["deep"] => {
            CONFIGURATIONS.iter().filter(|bounds| !search::search(&deep(bounds))).count() == 0
        }
        ["deep", configuration] => {
            named(configuration).is_some_and(|bounds| search::search(&deep(bounds)))
        }
        ["laws"] => {
            Law::ALL.iter().for_each(|law| println!("{}", law.name()));
            true
        }
        ["refute", configuration, law] => {
            let law = Law::ALL.into_iter().find(|known| known.name() == law).unwrap();
            let steps = search::refute(named(configuration).unwrap(), law);
            match steps {
                Some(steps) => println!("broken after {steps} steps"),
                None => println!("holds"),
            }
            steps.is_some()
        }
        [configuration] => named(configuration).is_some_and(search::search),
        _ => false,
    };
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
