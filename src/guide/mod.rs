//! The guide: one page per subject, in reading order. It is documentation only.
//!
//! | page | after it you can |
//! | --- | --- |
//! | [How it works](how_it_works) | explain why an old token is rejected |
//! | [Quick start](quick_start) | log users in and out over SQLite or PostgreSQL |
//! | [Your database](your_database) | check that your table fits, and say what happens when the database fails |
//! | [Recipes for tables](recipes) | describe a table of any shape, with tested SQL |
//! | [On the web](on_the_web) | build an axum application with login, cookies and pages |
//! | [Clients](clients) | write a client that keeps its session: pages with scripts, apps on phones, other origins |
//! | [Devices and refresh](devices) | choose the call for each need; list devices; detect a stolen refresh token |
//! | [Data of a session](session_data) | store the active organisation, or who acts as the user, in a session |
//! | [One-time links](one_time_links) | send password resets, magic links and invitations |
//! | [Claims, purposes, contexts](claims) | put private claims into tokens, define a purpose, bind a token to a cookie |
//! | [Binding modes](binding_modes) | decide whether other services verify your tokens |
//! | [Many machines](many_machines) | run several processes with a cache and a staleness that you set |
//! | [Live connections](live_connections) | end WebSockets and event streams on revocation |
//! | [By hand](by_hand) | use the authority without I/O, with any database or framework |
//! | [Testing your application](testing) | test your routes without a database and without sleeping |
//! | [Throttling](throttling) | say how many passwords an attacker can try, and let processes share the counts |
//! | [Limits and threat model](limits) | say what relatch does not do, and what went wrong elsewhere |
//! | [Performance](performance) | predict the cost of a request, and measure it yourself |
//! | [Format 1](mod@format) | issue and verify tokens in another language |
//! | [Switching over](switching_over) | deploy relatch without logging anybody out |
//! | [Coming from a denylist](from_a_denylist) | replace plain tokens and a denylist without logging anybody out |
//! | [Coming from axum-login](from_axum_login) | replace axum-login and tower-sessions without logging anybody out |
//! | [Coming from opaque tokens](from_opaque_tokens) | replace a table of opaque tokens without logging anybody out |
//! | [Coming from Django or Devise](from_other_frameworks) | serve the users of a Django or Devise application, with their sessions |
//! | [Glossary](glossary) | look up the words that have one exact meaning in this documentation |
//! | [Changelog](changelog) | upgrade to a new release |
//!
//! If the code on a page needs features that are not enabled, the page only names these features.

#[doc = include_str!("how_it_works.md")]
pub mod how_it_works {}

#[cfg_attr(all(feature = "sqlite", feature = "postgres"), doc = include_str!("quick_start.md"))]
#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres")),
    doc = "Quick start (features `sqlite` and `postgres`)."
)]
pub mod quick_start {}

#[cfg_attr(all(feature = "sqlite", feature = "postgres"), doc = include_str!("your_database.md"))]
#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres")),
    doc = "Your database (features `sqlite` and `postgres`)."
)]
pub mod your_database {}

#[cfg_attr(any(feature = "sqlite", feature = "postgres"), doc = include_str!("recipes.md"))]
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    doc = "Recipes for tables (feature `sqlite` or `postgres`)."
)]
pub mod recipes {}

#[cfg_attr(all(feature = "axum", feature = "sqlite", feature = "tracing"), doc = include_str!("on_the_web.md"))]
#[cfg_attr(
    not(all(feature = "axum", feature = "sqlite", feature = "tracing")),
    doc = "On the web (features `axum`, `sqlite` and `tracing`)."
)]
pub mod on_the_web {}

#[cfg_attr(feature = "axum", doc = include_str!("clients.md"))]
#[cfg_attr(feature = "axum", doc = "```python")]
#[cfg_attr(feature = "axum", doc = include_str!("stories/phone.py"))]
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "Clients (feature `axum`).")]
pub mod clients {}

#[cfg_attr(feature = "service", doc = include_str!("devices.md"))]
#[cfg_attr(not(feature = "service"), doc = "Devices and refresh (feature `service`).")]
pub mod devices {}

#[cfg_attr(all(feature = "service", feature = "axum"), doc = include_str!("session_data.md"))]
#[cfg_attr(
    not(all(feature = "service", feature = "axum")),
    doc = "Data of a session (features `service` and `axum`)."
)]
pub mod session_data {}

#[cfg_attr(feature = "service", doc = include_str!("one_time_links.md"))]
#[cfg_attr(not(feature = "service"), doc = "One-time links (feature `service`).")]
pub mod one_time_links {}

#[cfg_attr(feature = "service", doc = include_str!("claims.md"))]
#[cfg_attr(not(feature = "service"), doc = "Claims, purposes, contexts (feature `service`).")]
pub mod claims {}

#[doc = include_str!("binding_modes.md")]
pub mod binding_modes {}

#[cfg_attr(all(feature = "cache", feature = "postgres"), doc = include_str!("many_machines.md"))]
#[cfg_attr(
    not(all(feature = "cache", feature = "postgres")),
    doc = "Many machines (features `cache` and `postgres`)."
)]
pub mod many_machines {}

#[cfg_attr(all(feature = "live", feature = "axum"), doc = include_str!("live_connections.md"))]
#[cfg_attr(
    not(all(feature = "live", feature = "axum")),
    doc = "Live connections (features `live` and `axum`)."
)]
pub mod live_connections {}

#[cfg_attr(feature = "password", doc = include_str!("by_hand.md"))]
#[cfg_attr(not(feature = "password"), doc = "By hand (feature `password`).")]
pub mod by_hand {}

#[cfg_attr(all(feature = "service", feature = "axum"), doc = include_str!("testing.md"))]
#[cfg_attr(
    not(all(feature = "service", feature = "axum")),
    doc = "Testing your application (features `service` and `axum`)."
)]
pub mod testing {}

#[cfg_attr(all(feature = "sqlite", feature = "axum"), doc = include_str!("throttling.md"))]
#[cfg_attr(
    not(all(feature = "sqlite", feature = "axum")),
    doc = "Throttling (features `sqlite` and `axum`)."
)]
pub mod throttling {}

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("performance.md")]
pub mod performance {}

#[doc = include_str!("format.md")]
pub mod format {}

#[cfg_attr(all(feature = "service", feature = "bcrypt"), doc = include_str!("switching_over.md"))]
#[cfg_attr(
    not(all(feature = "service", feature = "bcrypt")),
    doc = "Switching over (features `service` and `bcrypt`)."
)]
pub mod switching_over {}

#[cfg_attr(feature = "axum", doc = include_str!("from_a_denylist.md"))]
#[cfg_attr(not(feature = "axum"), doc = "Coming from a denylist (feature `axum`).")]
pub mod from_a_denylist {}

#[cfg_attr(feature = "axum", doc = include_str!("from_axum_login.md"))]
#[cfg_attr(not(feature = "axum"), doc = "Coming from axum-login (feature `axum`).")]
pub mod from_axum_login {}

#[cfg_attr(feature = "axum", doc = include_str!("from_opaque_tokens.md"))]
#[cfg_attr(not(feature = "axum"), doc = "Coming from opaque tokens (feature `axum`).")]
pub mod from_opaque_tokens {}

#[cfg_attr(
    all(feature = "sqlite", feature = "bcrypt", feature = "pbkdf2"),
    doc = include_str!("from_other_frameworks.md")
)]
#[cfg_attr(
    not(all(feature = "sqlite", feature = "bcrypt", feature = "pbkdf2")),
    doc = "Coming from Django or Devise (features `sqlite`, `bcrypt` and `pbkdf2`)."
)]
pub mod from_other_frameworks {}

#[doc = include_str!("glossary.md")]
pub mod glossary {}

#[doc = include_str!("../../CHANGELOG.md")]
pub mod changelog {}
