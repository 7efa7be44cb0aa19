//! The old application and the new one side by side, over one database, through all phases of the switch.
//! README.md says what is checked.

mod http;
mod instance;
mod new;
mod old;
mod people;
mod plain;
mod recipe;
mod requests;
mod setup_error;
mod switch;

use std::{
    env,
    error::Error,
    io,
    path::Path,
    process::{Command, ExitCode},
    time::Instant,
};

use sqlx::{AnyPool, AssertSqlSafe};

use crate::switch::{Database, Extent};

const USAGE: &str = "relatch-switching [--seed N] [--steps N]

--steps N    things that each of the eight groups of users does in a phase (15)
--seed N     repeats the random choices of a run

PostgreSQL is the server of RELATCH_TEST_POSTGRES, or one of its own.";

/// What went wrong.
#[derive(Debug)]
pub struct Failure(Box<dyn Error + Send + Sync>);

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

pub fn failure(text: &str) -> Failure {
    Failure(text.into())
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let mut extent = Extent { seed: people::seed(), steps: 15 };
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse::<u64>().ok());
        let is_taken = match &*arg {
            "instance" => return done(instance::serve(&args.next().unwrap_or_default()).await),
            setup_error::ARGUMENT => return done(setup_error::provoke().await),
            "--seed" => number().map(|n| extent.seed = n),
            "--steps" => number().and_then(|n| usize::try_from(n).ok()).map(|n| extent.steps = n),
            _ => None,
        };
        if is_taken.is_none() {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    println!("seed {}", extent.seed);
    done(run(&extent).await)
}

fn done(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(error)) => {
            eprintln!("VIOLATION: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(extent: &Extent) -> Result<(), Failure> {
    println!(
        "{} blocks of the guide's code are code of the new application",
        recipe::check_code()?
    );
    setup_error::is_printed()?;
    println!("an error of the setup is printed without a log");
    let directory = Directory::new()?;
    let begun = Instant::now();
    let file = format!("sqlite://{}/accounts.sqlite?mode=rwc", directory.0);
    switch::run(Database::Sqlite, &file, extent).await?;
    println!("SQLite: {} seconds", begun.elapsed().as_secs());

    let begun = Instant::now();
    let server = match env::var("RELATCH_TEST_POSTGRES") {
        Ok(url) => Server { url, directory: None },
        Err(_) => Server::start(&format!("{}/postgres", directory.0))?,
    };
    sqlx::any::install_default_drivers();
    let admin = AnyPool::connect(&server.url).await?;
    let name = format!("relatch_switching_{}", std::process::id());
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&admin).await?;
    let url = server.url.replacen("/postgres?", &format!("/{name}?"), 1);
    let switched = match url == server.url {
        true => Err(failure("the URL does not name the database postgres")),
        false => switch::run(Database::Postgres, &url, extent).await,
    };
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&admin).await?;
    switched?;
    println!("PostgreSQL: {} seconds", begun.elapsed().as_secs());
    Ok(())
}

/// A directory that is deleted at the end. The server's user must reach it.
struct Directory(String);

impl Directory {
    fn new() -> Result<Self, Failure> {
        let path = env::temp_dir().join(format!("relatch-switching-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path.display().to_string()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _deleted = std::fs::remove_dir_all(&self.0);
    }
}

/// A PostgreSQL. One of its own is stopped at the end.
struct Server {
    url: String,
    directory: Option<String>,
}

impl Server {
    fn start(directory: &str) -> Result<Self, Failure> {
        let output = script("start", directory)?.output()?;
        if !output.status.success() {
            return Err(failure("PostgreSQL does not start"));
        }
        let url = String::from_utf8(output.stdout)?.trim().to_owned();
        Ok(Self { url, directory: Some(directory.to_owned()) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            let _stopped = script("stop", directory).and_then(|mut stop| stop.status());
        }
    }
}

fn script(command: &str, directory: &str) -> io::Result<Command> {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/postgres").canonicalize()?;
    let mut process = Command::new(script);
    process.args([command, directory]);
    Ok(process)
}
