//! The time of a look-up by id, by one caller and by several at once, beside the bare statement: the same
//! columns of the same row over one connection of `sqlx`.

use std::{hint::black_box, time::Instant};

use criterion::{Criterion, SamplingMode};
use relatch::store::{PostgresStore, SqliteOptions, SqliteStore, UserKey, UserStore, UsersTable};
use relatch_benches::{Pool, user_id};
use sqlx::{Connection, PgConnection, SqliteConnection};
use tokio::{runtime::Runtime, sync::Mutex, task::JoinSet};

use crate::{
    Servers, Subject,
    ratio::{Ratio, in_turns},
    users::{sqlite_url, warm},
};

/// The look-ups in a turn: several for each caller.
const TURN: u64 = 1024;

/// What a store reads of a user.
const STATEMENT: &str = "SELECT id, is_active, token_version, password_hash, carried, sessions, \
    lanes, secret FROM relatch_users WHERE id = $1";

/// Over the tables that `Users` has filled.
pub(crate) struct Lookups {
    sqlite: SqliteStore,
    on_calling_thread: SqliteStore,
    postgres: PostgresStore,
    by_rusqlite: rusqlite::Connection,
    by_sqlx_sqlite: Mutex<SqliteConnection>,
    by_sqlx_postgres: Mutex<PgConnection>,
    ids: Pool<String>,
}

impl Lookups {
    pub(crate) async fn prepare(servers: &Servers) -> Self {
        let (file, table) = (servers.sqlite(), UsersTable::ready);
        let on_calling_thread = SqliteOptions::new().read_on_calling_thread();
        Self {
            sqlite: SqliteStore::open(&file, table()).await.unwrap(),
            on_calling_thread: on_calling_thread.open(&file, table()).await.unwrap(),
            postgres: PostgresStore::connect(&servers.postgres, table()).await.unwrap(),
            by_rusqlite: rusqlite::Connection::open(&file).unwrap(),
            by_sqlx_sqlite: Mutex::new(
                SqliteConnection::connect(&sqlite_url(&file)).await.unwrap(),
            ),
            by_sqlx_postgres: Mutex::new(PgConnection::connect(&servers.postgres).await.unwrap()),
            ids: Pool::new(warm().map(user_id).collect()),
        }
    }

    /// The group `lookups`: each look-up in units of the bare statement in its database.
    pub(crate) fn compare(&self, runtime: &Runtime, criterion: &mut Criterion<Ratio>) {
        let mut group = criterion.benchmark_group("lookups");
        group.sampling_mode(SamplingMode::Flat);
        let statements = self.statements(runtime);
        for (name, lookup) in self.lookups(runtime) {
            let (_, statement) = statements.iter().find(|(of, _)| name.starts_with(of)).unwrap();
            group.bench_function(name, |bencher| {
                in_turns(TURN, bencher, &mut |n| statement(n), &mut |n| lookup(n));
            });
        }
        group.finish();
    }

    /// The group `lookup-nanoseconds`.
    pub(crate) fn time(&self, runtime: &Runtime, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group("lookup-nanoseconds");
        group.sampling_mode(SamplingMode::Flat);
        for (name, subject) in self.lookups(runtime).into_iter().chain(self.statements(runtime)) {
            group.bench_function(name, |bencher| bencher.iter_custom(&subject));
        }
        group.finish();
    }

    fn lookups<'a>(&'a self, runtime: &'a Runtime) -> Vec<(&'static str, Subject<'a>)> {
        vec![
            ("sqlite-store", self.of_callers(1, &self.sqlite, runtime)),
            ("sqlite-store-calling-thread", self.of_callers(1, &self.on_calling_thread, runtime)),
            ("sqlite-rusqlite", self.timed(runtime, async || self.rusqlite())),
            ("postgres-store-1", self.of_callers(1, &self.postgres, runtime)),
            ("postgres-store-16", self.of_callers(16, &self.postgres, runtime)),
            ("postgres-store-64", self.of_callers(64, &self.postgres, runtime)),
        ]
    }

    fn statements<'a>(&'a self, runtime: &'a Runtime) -> Vec<(&'static str, Subject<'a>)> {
        vec![
            ("sqlite", self.timed(runtime, async || self.sqlx_sqlite().await)),
            ("postgres", self.timed(runtime, async || self.sqlx_postgres().await)),
        ]
    }

    fn rusqlite(&self) {
        let mut statement = self.by_rusqlite.prepare_cached(STATEMENT).unwrap();
        let read = |row: &rusqlite::Row<'_>| {
            (0..8).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<rusqlite::types::Value>>>()
        };
        black_box(statement.query_one([self.ids.turn()], read).unwrap());
    }

    async fn sqlx_sqlite(&self) {
        let mut connection = self.by_sqlx_sqlite.lock().await;
        let statement = sqlx::query(STATEMENT).bind(self.ids.turn());
        black_box(statement.fetch_one(&mut *connection).await.unwrap());
    }

    async fn sqlx_postgres(&self) {
        let mut connection = self.by_sqlx_postgres.lock().await;
        let statement = sqlx::query(STATEMENT).bind(self.ids.turn());
        black_box(statement.fetch_one(&mut *connection).await.unwrap());
    }

    fn timed<'a>(&'a self, runtime: &'a Runtime, look_up: impl AsyncFn() + 'a) -> Subject<'a> {
        Box::new(move |count| {
            runtime.block_on(async {
                let began = Instant::now();
                for _ in 0..count {
                    look_up().await;
                }
                began.elapsed()
            })
        })
    }

    /// `callers` tasks share the look-ups. Each asks for its next one when it has its answer.
    fn of_callers<'a, S: UserStore + Clone>(
        &'a self,
        callers: u64,
        store: &'a S,
        runtime: &'a Runtime,
    ) -> Subject<'a> {
        Box::new(move |count| {
            let shares = (0..callers).map(|caller| {
                let share = count / callers + u64::from(caller < count % callers);
                let ids: Vec<_> = (0..share).map(|_| self.ids.turn().clone()).collect();
                (store.clone(), ids)
            });
            let shares: Vec<_> = shares.collect();
            runtime.block_on(async {
                let began = Instant::now();
                let callers: JoinSet<_> = shares.into_iter().map(look_up_all).collect();
                callers.join_all().await;
                began.elapsed()
            })
        })
    }
}

async fn look_up_all((store, ids): (impl UserStore, Vec<String>)) {
    for id in ids {
        black_box(store.read(UserKey::Id(&id)).await.unwrap().unwrap());
    }
}
