//! The steps of a history, and their random generation.

use proptest::{prelude::*, sample::Index};

use super::reference::{Kind, New, Policy, Rules};

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The first is decided on the record as it was read, while the second happens concurrently.
    Late(Act, Box<Step>),
    Act(Act),
    IssueAccess,
    IssueLink(Kind),
    Verify(Pick),
    /// Against an older record, as on a lagging replica.
    VerifyStale(Pick),
    /// By the application's own SQL, as all of the next ones: the table stays as it is.
    Bump,
    BumpTenant,
    ChangePassword,
    Rehash,
    SetActive {
        is_active: bool,
        bumps: bool,
    },
    /// The server's process starts again, and reads the row from the database.
    RestartProcess,
    SetPolicy(Policy),
    RotateKey(i64),
    RemoveKey(Index),
    Wait(i64),
    /// To a second before or after the expiry of a token, or the end of the grace after its issue.
    WaitForEnd(Pick, i64),
    WaitForGrace(Pick, i64),
    WaitForLateRepeat(Pick, i64),
    WaitForKey(i64),
    BackUp,
    Restore,
    /// Empties the cache of derived keys, which no change of the record does.
    ForgetKeys,
    CheckAll,
}

/// A change that the library decides and the store stores.
#[derive(Clone, Debug)]
pub(super) enum Act {
    LogIn(Login),
    Refresh(Pick),
    LogOut(Pick),
    /// By a refresh token.
    Revoke(Pick),
    Restart(Pick),
    LogOutOthers {
        of: Pick,
        changes_password: bool,
    },
    LogOutEverywhere,
    RevokeWhere(Which),
    SetData(Pick, Option<&'static str>),
    Supersede(Kind),
    Consume(Pick),
}

/// A login's session, and the seconds until its fixed end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login {
    pub(super) new: New,
    pub(super) lasts: Option<i64>,
}

/// One of all the tokens ever issued.
#[derive(Clone, Debug)]
pub(super) enum Pick {
    Any(Index),
    /// Counted from the last one.
    Recent(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    All,
    None,
    Labelled(&'static str),
    UnusedFor(i64),
    StartedBefore(i64),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1440 => simple(),
        // Not concurrently with a decision: it was made before the restore, and is stored after it.
        30 => Just(Step::BackUp),
        1 => Just(Step::Restore),
        96 => (act(), simple()).prop_map(|(act, meanwhile)| Step::Late(act, meanwhile.into())),
    ]
}

fn simple() -> impl Strategy<Value = Step> {
    prop_oneof![
        400 => act().prop_map(Step::Act),
        10 => Just(Step::IssueAccess),
        50 => link().prop_map(Step::IssueLink),
        160 => pick(12).prop_map(Step::Verify),
        40 => pick(6).prop_map(Step::VerifyStale),
        200 => prop_oneof![
            60 => (0_i64..4).prop_map(Step::Wait),
            5 => (0_i64..70).prop_map(Step::Wait),
            5 => (-12_i64..0).prop_map(Step::Wait),
            1 => (-100_i64..1000).prop_map(Step::Wait),
            4 => (pick(6), -1_i64..=1).prop_map(|(pick, off)| Step::WaitForEnd(pick, off)),
            12 => (pick(6), -1_i64..=1).prop_map(|(pick, off)| Step::WaitForGrace(pick, off)),
            12 => (pick(6), -1_i64..=1).prop_map(|(pick, off)| Step::WaitForLateRepeat(pick, off)),
            1 => (-1_i64..=1).prop_map(Step::WaitForKey),
        ],
        4 => Just(Step::Bump),
        4 => Just(Step::BumpTenant),
        4 => Just(Step::ChangePassword),
        8 => Just(Step::Rehash),
        12 => (prop::bool::weighted(0.9), any::<bool>())
            .prop_map(|(is_active, bumps)| Step::SetActive { is_active, bumps }),
        2 => Just(Step::RestartProcess),
        10 => policy().prop_map(Step::SetPolicy),
        1 => (1_i64..2000).prop_map(Step::RotateKey),
        1 => any::<Index>().prop_map(Step::RemoveKey),
        6 => Just(Step::ForgetKeys),
        1 => Just(Step::CheckAll),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        70 => login().prop_map(Act::LogIn),
        10 => (pick(6), data()).prop_map(|(pick, data)| Act::SetData(pick, data)),
        220 => pick(6).prop_map(Act::Refresh),
        15 => pick(12).prop_map(Act::LogOut),
        15 => pick(12).prop_map(Act::Revoke),
        15 => pick(6).prop_map(Act::Restart),
        8 => (pick(6), any::<bool>())
            .prop_map(|(of, changes_password)| Act::LogOutOthers { of, changes_password }),
        3 => Just(Act::LogOutEverywhere),
        6 => which().prop_map(Act::RevokeWhere),
        15 => prop_oneof![Just(Kind::MagicLink), Just(Kind::EmailChange)].prop_map(Act::Supersede),
        30 => pick(4).prop_map(Act::Consume),
    ]
}

fn pick(recent: usize) -> impl Strategy<Value = Pick> {
    prop_oneof![
        1 => any::<Index>().prop_map(Pick::Any),
        4 => (0..recent).prop_map(Pick::Recent),
        4 => (0..2_usize).prop_map(Pick::Recent),
    ]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        1 => Just(Which::All),
        1 => Just(Which::None),
        3 => label().prop_map(Which::Labelled),
        3 => (0_i64..60).prop_map(Which::UnusedFor),
        3 => (0_i64..200).prop_map(Which::StartedBefore),
    ]
}

fn login() -> impl Strategy<Value = Login> {
    let policy = prop_oneof![2 => Just(None), 2 => Just(Some("phone")), 1 => Just(Some("kiosk"))];
    let lasts = prop_oneof![4 => Just(None), 1 => (-1_i64..1500).prop_map(Some)];
    (label(), data(), policy, lasts).prop_map(|(label, data, policy, lasts)| {
        let new = New { label, data, policy, ends_at: None };
        Login { new, lasts }
    })
}

fn data() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(&[None, Some("{}"), Some(r#"{"tenant":"acme"}"#), Some(LONG)][..])
}

const LONG: &str = r#"{"as":"a \"quote\" é, and more than a hundred and twenty-eight bytes ………………………………………………………………………………………………………………………………………………"}"#;

fn label() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["phone", "laptop", "tablet", "", "a \"quote\" é"][..])
}

fn link() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::MagicLink),
        4 => Just(Kind::EmailChange),
        1 => Just(Kind::Reset),
    ]
}

pub(super) fn policy() -> impl Strategy<Value = Policy> {
    let max_sessions = prop_oneof![1 => Just(1_u32), 8 => 2_u32..6, 1 => Just(16), 1 => Just(64)];
    let max_data = prop_oneof![1 => Just(2_usize), 4 => Just(128), 4 => Just(512)];
    let lifetime = prop_oneof![1 => 1_i64..10, 3 => Just(60_i64), 3 => Just(900)];
    let named = || prop::option::weighted(0.8, rules());
    let rules = (rules(), named(), named());
    (max_sessions, prop::bool::weighted(0.2), any::<bool>(), max_data, rules, lifetime).prop_map(
        |(max_sessions, refuses, ends_all, max_data, (default, phone, kiosk), lifetime)| Policy {
            max_sessions,
            refuses,
            ends_all,
            max_data,
            default,
            phone,
            kiosk,
            lifetime,
        },
    )
}

fn rules() -> impl Strategy<Value = Rules> {
    let idle = prop_oneof![1 => 1_i64..30, 4 => 30_i64..300, 2 => Just(14 * 86_400)];
    let absolute = prop_oneof![1 => 1_i64..100, 4 => 100_i64..1500, 2 => Just(90 * 86_400)];
    let grace = prop_oneof![Just(0_i64), 1_i64..4, Just(10), Just(60)];
    let late_repeat = prop_oneof![2 => Just(0_i64), 2 => 1_i64..30, 2 => 60_i64..300];
    (idle, absolute, grace, late_repeat).prop_map(|(idle, absolute, grace, late_repeat)| Rules {
        idle,
        absolute,
        grace,
        late_repeat,
    })
}
