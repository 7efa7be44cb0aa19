//! The HTML pages. `html!` escapes every text.

use maud::{DOCTYPE, Markup, html};
use relatch::{
    recovery_codes::RecoveryCodes,
    sessions::{SessionId, SessionInfo},
};
use serde::Serialize;

use crate::factors::Factors;

pub(crate) fn welcome() -> Markup {
    let body = html! {
        h1 { "Logins with a second factor" }
        p class="lead" {
            "A password, then a code of an authenticator app, a passkey or a recovery code. Setting one up \
             logs your other devices out."
        }
        p class="actions" {
            a class="button" href="/signup" { "Sign up" }
            a class="button quiet" href="/login" { "Log in" }
        }
    };
    page("Welcome", false, &body)
}

pub(crate) fn sign_up(name: &str, alert: Option<&str>) -> Markup {
    let fields = html! {
        (name_field(name))
        label for="password" { "Password" }
        input id="password" name="password" type="password" required autocomplete="new-password" aria-describedby="least";
        p id="least" class="hint" { "At least 15 characters." }
    };
    let body = html! {
        h1 { "Sign up" }
        (form("/signup", alert, &fields, "Sign up"))
    };
    page("Sign up", false, &body)
}

pub(crate) fn log_in(name: &str, alert: Option<&str>) -> Markup {
    let body = html! {
        h1 { "Log in" }
        (form("/login", alert, &html! { (name_field(name)) (password_field()) }, "Log in"))
        p { "No account yet? " a href="/signup" { "Sign up" } }
    };
    page("Log in", false, &body)
}

/// A passkey dialogue: the id of its ceremony, and the options for the browser.
pub(crate) struct Dialogue {
    pub(crate) ceremony: String,
    pub(crate) options: String,
}

impl Dialogue {
    pub(crate) fn new(ceremony: String, options: &impl Serialize) -> crate::Result<Self> {
        Ok(Self { ceremony, options: serde_json::to_string(options)? })
    }
}

/// Asks for the second factor.
pub(crate) fn second_step(passkey: Option<&Dialogue>, alert: Option<&str>) -> Markup {
    let body = html! {
        h1 { "Confirm your login" }
        @if let Some(passkey) = passkey {
            (passkey_form("/login/passkey", "get", passkey, &html! {}, "Use a passkey"))
        }
        (form("/login/code", alert, &code_field("Code of your app, or a recovery code"), "Confirm"))
        p { a href="/login" { "Start again" } }
    };
    page("Confirm your login", false, &body)
}

/// The data of the account page.
pub(crate) struct Account<'a> {
    pub(crate) name: &'a str,
    pub(crate) sessions: &'a [SessionInfo],
    pub(crate) own: Option<SessionId>,
    pub(crate) factors: &'a Factors,
}

pub(crate) fn account(account: &Account<'_>) -> Markup {
    let factors = account.factors;
    let body = html! {
        h1 { "Your account" }
        p class="lead" { "You are logged in as " strong { (account.name) } "." }
        section class="card" {
            h2 { "Authenticator app" }
            @if factors.totp.is_some() {
                p { "Your app makes codes for this site." }
                form method="post" action="/totp/remove" { button class="quiet" { "Remove the app" } }
            } @else {
                p { "An app on your phone makes a code for each login." }
                form method="post" action="/totp/new" { button { "Set up an app" } }
            }
        }
        section id="passkeys" class="card" {
            h2 { "Passkeys" }
            ul {
                @for (index, named) in factors.passkeys.iter().enumerate() {
                    li {
                        form method="post" action="/passkey/remove" {
                            (named.name) " "
                            input type="hidden" name="id" value=(hex(named.passkey.cred_id()));
                            button class="quiet" aria-labelledby={ "remove-" (index) " name-" (index) } {
                                span id={ "remove-" (index) } { "Remove" }
                                span id={ "name-" (index) } class="unseen" { " " (named.name) }
                            }
                        }
                    }
                }
            }
            form method="post" action="/passkey/new" { button { "Add a passkey" } }
        }
        @if !factors.is_empty() {
            section class="card" {
                h2 { "Recovery codes" }
                p { "Each replaces a second factor once, if you have lost yours." }
                form method="post" action="/recovery-codes" { button class="quiet" { "Make new codes" } }
            }
        }
        section class="card" {
            h2 { "Your devices" }
            ul id="sessions" {
                @for session in account.sessions {
                    li { (session.label()) @if account.own == Some(session.id()) { " (this device)" } }
                }
            }
        }
    };
    page("Your account", true, &body)
}

pub(crate) fn new_totp(
    ceremony: &str,
    secret: &str,
    picture: Option<&str>,
    alert: Option<&str>,
) -> Markup {
    let fields = html! {
        input type="hidden" name="ceremony" value=(ceremony);
        (code_field("Code that the app shows"))
    };
    let body = html! {
        h1 { "Set up an app" }
        @if let Some(picture) = picture {
            p { "Scan this picture with an authenticator app." }
            p { img src={ "data:image/png;base64," (picture) } width="220" height="220" alt="QR code of the key below"; }
        }
        p { "Or type this key into the app: " code id="secret" { (secret) } }
        (form("/totp/confirm", alert, &fields, "Confirm"))
        p class="hint" { "This logs your other devices out." }
    };
    page("Set up an app", true, &body)
}

pub(crate) fn new_passkey(dialogue: &Dialogue) -> Markup {
    let fields = html! {
        label for="name" { "Name of the passkey" }
        input id="name" name="name" required maxlength="64" value="My passkey";
    };
    let body = html! {
        h1 { "Add a passkey" }
        (passkey_form("/passkey/confirm", "create", dialogue, &fields, "Create the passkey"))
        p class="hint" { "This logs your other devices out." }
    };
    page("Add a passkey", true, &body)
}

/// The only time that the codes are shown.
pub(crate) fn recovery_codes(codes: &RecoveryCodes) -> Markup {
    let body = html! {
        h1 { "Your recovery codes" }
        p { "Keep them where you keep important papers. They are shown only now, and each works once." }
        ul id="codes" { @for code in codes.expose() { li { code { (code) } } } }
        p class="actions" { a class="button" href="/account" { "I have kept them" } }
    };
    page("Your recovery codes", true, &body)
}

/// Asks the user to authenticate again.
pub(crate) fn confirm(has_factor: bool, passkey: Option<&Dialogue>, alert: Option<&str>) -> Markup {
    let fields = html! {
        (password_field())
        @if has_factor { (code_field("Code of your app, or a recovery code")) }
    };
    let body = html! {
        h1 { "Confirm it is you" }
        p { "You logged in more than 5 minutes ago. Confirm it is you, then try again." }
        @if let Some(passkey) = passkey {
            (passkey_form("/confirm/passkey", "get", passkey, &html! {}, "Use a passkey"))
        }
        (form("/confirm", alert, &fields, "Confirm"))
    };
    page("Confirm it is you", true, &body)
}

pub(crate) fn error(title: &str, text: &str) -> Markup {
    let body = html! {
        h1 { (title) }
        p role="alert" { (text) }
        p { a href="/" { "Back to the home page" } }
    };
    page(title, false, &body)
}

/// Text without characters that have a meaning in HTML or in a form.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// ---- Parts of the pages ---------------------------------------------------------------------

fn page(title: &str, is_logged_in: bool, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · relatch" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
                script src="/passkeys.js" defer {}
            }
            body {
                header {
                    a class="brand" href="/" { "relatch" }
                    nav aria-label="Site" {
                        @if is_logged_in {
                            form method="post" action="/auth/logout" { button class="quiet" { "Log out" } }
                        } @else {
                            a href="/login" { "Log in" }
                            a href="/signup" { "Sign up" }
                        }
                    }
                }
                main class="narrow" { (body) }
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

/// A form that `passkeys.js` fills in and sends.
fn passkey_form(
    action: &str,
    kind: &str,
    dialogue: &Dialogue,
    fields: &Markup,
    button: &str,
) -> Markup {
    html! {
        form class="fields" method="post" action=(action) data-passkey=(kind) data-options=(dialogue.options) {
            p role="alert" hidden {}
            input type="hidden" name="ceremony" value=(dialogue.ceremony);
            input type="hidden" name="credential";
            (fields)
            button { (button) }
            noscript { p class="hint" { "Passkeys need JavaScript." } }
        }
    }
}

fn name_field(name: &str) -> Markup {
    html! {
        label for="name" { "Name" }
        input id="name" name="name" value=(name) required maxlength="64" autocomplete="username" autocapitalize="none";
    }
}

fn password_field() -> Markup {
    html! {
        label for="password" { "Password" }
        input id="password" name="password" type="password" required autocomplete="current-password";
    }
}

fn code_field(label: &str) -> Markup {
    html! {
        label for="code" { (label) }
        input id="code" name="code" required maxlength="64" autocomplete="one-time-code" autocapitalize="none" spellcheck="false";
    }
}
