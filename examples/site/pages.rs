//! The HTML pages. `html!` escapes every text.

use maud::{DOCTYPE, Markup, html};
use relatch::sessions::{EventKind, SessionEvent, SessionId, SessionInfo};
use time::OffsetDateTime;

pub(crate) fn welcome() -> Markup {
    let body = html! {
        h1 { "Log out means logged out" }
        p class="lead" {
            "This site issues JSON Web Tokens and can revoke them. Log a device out, or change your \
             password, and the older tokens stop working at once. The server stores nothing per token \
             and keeps no list of revoked tokens."
        }
        p class="actions" {
            a class="button" href="/signup" { "Sign up" }
            a class="button quiet" href="/login" { "Log in" }
        }
    };
    page("Welcome", &Frame { class: "welcome", ..OUTSIDE }, &body)
}

pub(crate) fn sign_up(name: &str, alert: Option<&str>) -> Markup {
    let fields = html! {
        (name_field(name))
        (new_password_field("password", "Password"))
    };
    let body = html! {
        h1 { "Sign up" }
        (form("/signup", alert, &fields, "Sign up"))
        p { "Already have an account? " a href="/login" { "Log in" } }
    };
    page("Sign up", &OUTSIDE, &body)
}

pub(crate) fn log_in(name: &str, notice: Option<&str>, alert: Option<&str>) -> Markup {
    let fields = html! {
        (name_field(name))
        (password_field("password", "Password"))
    };
    let body = html! {
        h1 { "Log in" }
        (note(notice))
        (form("/login", alert, &fields, "Log in"))
        p { a href="/forgotten" { "Forgot your password?" } }
        p { "No account yet? " a href="/signup" { "Sign up" } }
    };
    page("Log in", &OUTSIDE, &body)
}

/// The data of the devices page.
pub(crate) struct Devices<'a> {
    pub(crate) name: &'a str,
    pub(crate) sessions: &'a [SessionInfo],
    pub(crate) own: Option<SessionId>,
    pub(crate) events: &'a [SessionEvent],
    pub(crate) token: &'a Markup,
    /// The SQL statement that revokes the token.
    pub(crate) kill: &'a str,
    pub(crate) notice: Option<&'a str>,
    pub(crate) alert: Option<&'a str>,
}

pub(crate) fn devices(shown: &Devices<'_>) -> Markup {
    let others = password_field("password", "Your password");
    let body = html! {
        h1 { "Your devices" }
        p class="lead" { "You are logged in as " strong { (shown.name) } "." }
        (note(shown.notice))
        p id="live" role="status" data-state="connecting" { "Connecting …" }
        noscript { p class="hint" { "The live status needs JavaScript. The rest of the site does not." } }
        ul id="devices" {
            @for session in shown.sessions {
                (device(session, shown.own == Some(session.id())))
            }
        }
        div class="pair" {
            section class="card" {
                h2 { "All others" }
                p { "Logs out every other device at once. This device stays logged in and gets new tokens." }
                (form("/devices/logout-others", shown.alert, &others, "Log out all others"))
            }
            section class="card" {
                h2 { "Everywhere" }
                p { "Increases the version counter in your database row. All your tokens stop working." }
                form method="post" action="/devices/logout-everywhere" {
                    button class="danger" { "Log out everywhere" }
                }
            }
        }
        section id="token" class="card" {
            h2 { "The token of this request" }
            p { "The browser sent it in a cookie that scripts cannot read. These are its decoded contents." }
            (shown.token)
            h3 { "Revoke it in the database" }
            p { "This statement revokes this token and all your others, within 30 seconds:" }
            pre tabindex="0" { (shown.kill) }
        }
        @if !shown.events.is_empty() { (events(shown.events)) }
        p { a href="/account/delete" { "Delete your account" } }
    };
    page("Your devices", &Frame { class: "", is_live: true, ..INSIDE }, &body)
}

fn device(session: &SessionInfo, is_current: bool) -> Markup {
    html! {
        li data-session=(session.id()) aria-current=[is_current.then_some("true")] {
            div {
                strong { (session.label()) }
                @if is_current { " " span class="badge" { "This device" } }
                p class="hint" {
                    "Started " (instant(session.started_at())) ", last used " (instant(session.last_seen()))
                }
            }
            @if !is_current {
                form method="post" action="/devices/logout" {
                    input type="hidden" name="session" value=(session.id());
                    button class="quiet" { "Log out" span class="unseen" { " " (session.label()) } }
                }
            }
        }
    }
}

fn events(events: &[SessionEvent]) -> Markup {
    html! {
        section id="events" class="card" {
            h2 { "Security events" }
            ul {
                @for event in events {
                    li data-event=(event.kind()) { (instant(event.at())) ": " (in_words(event)) }
                }
            }
        }
    }
}

fn in_words(event: &SessionEvent) -> String {
    let device = event.label().unwrap_or("A device");
    match event.kind() {
        EventKind::Reuse => format!(
            "{device} was logged out: its refresh token was used twice, so somebody may have a copy."
        ),
        EventKind::GraceHit => {
            format!("{device} refreshed twice at the same time. Two open tabs are the usual cause.")
        }
        EventKind::LateRepeat => {
            format!("{device} used an old refresh token again. A lost response is the usual cause.")
        }
        _ => format!(
            "{device} has a newer token than the database, which was restored from a backup."
        ),
    }
}

pub(crate) fn password(alert: Option<&str>) -> Markup {
    let fields = html! {
        (password_field("present", "Current password"))
        (new_password_field("new", "New password"))
    };
    let body = html! {
        h1 { "Change your password" }
        p { "This logs out all your other devices." }
        (form("/password", alert, &fields, "Change password"))
    };
    page("Change your password", &INSIDE, &body)
}

pub(crate) fn forgotten(name: &str, notice: Option<&str>, alert: Option<&str>) -> Markup {
    let body = html! {
        h1 { "Forgot your password?" }
        (note(notice))
        p { "A production site would send you a link by e-mail. This one prints the link on the console." }
        (form("/forgotten", alert, &name_field(name), "Get a link"))
    };
    page("Forgot your password", &OUTSIDE, &body)
}

pub(crate) fn reset(token: &str, alert: Option<&str>) -> Markup {
    let fields = html! {
        input type="hidden" name="token" value=(token);
        (new_password_field("new", "New password"))
    };
    let body = html! {
        h1 { "Set a new password" }
        (form("/reset", alert, &fields, "Set password"))
    };
    page("Set a new password", &OUTSIDE, &body)
}

pub(crate) fn not_me(token: &str) -> Markup {
    let body = html! {
        h1 { "Was it a stranger?" }
        p { "The button logs out the device of that login, and every device that has logged in since." }
        form class="actions" method="post" action="/not-me" {
            input type="hidden" name="token" value=(token);
            button class="danger" { "This was not me" }
        }
    };
    page("A login on a new device", &OUTSIDE, &body)
}

pub(crate) fn reported() -> Markup {
    let body = html! {
        h1 { "The device is logged out" }
        p {
            "Somebody knows your password. Set a new one: a link was printed to the console."
        }
        p { a href="/forgotten" { "Get another link" } }
    };
    page("The device is logged out", &OUTSIDE, &body)
}

pub(crate) fn delete_account() -> Markup {
    let body = html! {
        h1 { "Delete your account" }
        p { "Your account is deleted at once. This cannot be undone." }
        form class="actions" method="post" action="/account/delete" {
            button class="danger" { "Delete my account" }
        }
    };
    page("Delete your account", &INSIDE, &body)
}

/// Asks for the password again, then redirects to `then`.
pub(crate) fn confirm(then: &str, alert: Option<&str>) -> Markup {
    let fields = html! {
        input type="hidden" name="then" value=(then);
        (password_field("password", "Your password"))
    };
    let body = html! {
        h1 { "Confirm it is you" }
        p { "You logged in more than 5 minutes ago, and this is a sensitive operation." }
        (form("/confirm", alert, &fields, "Confirm"))
    };
    page("Confirm it is you", &INSIDE, &body)
}

pub(crate) fn logged_out(reason: &str, in_words: &str, token: Option<&Markup>) -> Markup {
    let body = html! {
        h1 { "You were logged out" }
        p class="actions" { a class="button" href="/login" { "Log in" } }
        section id="refused" class="card" {
            h2 { "Why" }
            p { code id="reason" { (reason) } }
            p { (in_words) }
            p class="hint" { "A production site would not show the reason, because it helps an attacker." }
            @if let Some(token) = token {
                p { "The decoded contents of the refused token:" }
                (token)
            }
        }
    };
    page("You were logged out", &Frame { class: "", ..OUTSIDE }, &body)
}

pub(crate) fn error(title: &str, text: &str) -> Markup {
    let body = html! {
        h1 { (title) }
        p role="alert" { (text) }
        p { a href="/" { "Back to the home page" } }
    };
    page(title, &OUTSIDE, &body)
}

// ---- Parts of the pages ---------------------------------------------------------------------

/// Properties of a page, besides its content.
struct Frame {
    class: &'static str,
    is_logged_in: bool,
    is_live: bool,
}

const OUTSIDE: Frame = Frame { class: "narrow", is_logged_in: false, is_live: false };
const INSIDE: Frame = Frame { is_logged_in: true, ..OUTSIDE };

fn page(title: &str, frame: &Frame, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · relatch" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
                @if frame.is_live { script type="module" src="/live.js" {} }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                header {
                    a class="brand" href="/" {
                        img src="/icon.svg" width="28" height="28" alt="";
                        "relatch"
                    }
                    nav aria-label="Site" {
                        @if frame.is_logged_in {
                            a href="/devices" { "Devices" }
                            a href="/password" { "Password" }
                            form method="post" action="/logout" { button class="quiet" { "Log out" } }
                        } @else {
                            a href="/login" { "Log in" }
                            a href="/signup" { "Sign up" }
                        }
                    }
                }
                main id="main" class=(frame.class) tabindex="-1" { (body) }
            }
        }
    }
}

fn form(action: &str, alert: Option<&str>, fields: &Markup, button: &str) -> Markup {
    html! {
        form class="fields" method="post" action=(action) {
            @if let Some(alert) = alert { p role="alert" { (alert) } }
            (fields)
            button { (button) }
        }
    }
}

fn name_field(name: &str) -> Markup {
    html! {
        label for="name" { "Name" }
        input id="name" name="name" value=(name) required maxlength="64" autocomplete="username" autocapitalize="none";
    }
}

fn password_field(name: &str, label: &str) -> Markup {
    html! {
        label for=(name) { (label) }
        input id=(name) name=(name) type="password" required autocomplete="current-password";
    }
}

fn new_password_field(name: &str, label: &str) -> Markup {
    html! {
        label for=(name) { (label) }
        input id=(name) name=(name) type="password" required autocomplete="new-password" aria-describedby="least";
        p id="least" class="hint" { "At least 15 characters." }
    }
}

fn note(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p class="note" role="status" { (text) } } }
}

/// A date and time in UTC.
fn instant(at: OffsetDateTime) -> Markup {
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    let month_number = u8::from(month);
    html! {
        time datetime={ (format_args!("{year}-{month_number:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")) } {
            (format_args!("{day} {month}, {hour:02}:{minute:02} UTC"))
        }
    }
}
