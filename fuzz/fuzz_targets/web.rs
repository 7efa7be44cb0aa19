//! A request is authenticated exactly if one valid token comes in one place. If it comes in a cookie
//! and the request may change something, it also needs a proof of the same origin.
//!
//! An input is the head of an HTTP/1.1 request: the first line has the method and the target, and
//! `$access`, `$refresh` and `$csrf` stand for genuine tokens.

#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, request::Parts};
use libfuzzer_sys::fuzz_target;
use relatch::{
    Authority, MasterKey, User,
    axum::{CSRF_HEADER, ClientAddress, Cookies, Refusal, Web},
    service::Service,
    store::{MemoryStore, NewUser},
};
use relatch_fuzz::Fixed;
use time::OffsetDateTime;
use tokio::runtime::{Builder, Runtime};

fuzz_target!(|bytes: &[u8]| {
    let site = &*SITE;
    let Some(parts) = site.head(bytes) else { return };
    let wanted = site.wanted(&parts);
    let outcome = site.runtime.block_on(site.web.authenticate(&parts));
    match outcome {
        Ok(session) => {
            assert_eq!(session.user().id(), "alice");
            assert_eq!(wanted, Ok(()), "it is authenticated: {parts:?}");
        }
        Err(refusal) => {
            let Err(why) = wanted else { panic!("{refusal:?}: {parts:?}") };
            let is_it = match why {
                Why::NoToken => matches!(refusal, Refusal::NoToken),
                Why::Several => matches!(refusal, Refusal::Ambiguous),
                Why::TooLong => matches!(refusal, Refusal::HeaderTooLarge),
                Why::CrossSite => matches!(refusal, Refusal::CrossSite),
                // The proof of origin is checked first, so its refusal comes first.
                Why::BadToken => {
                    refusal.reason().is_some() || matches!(refusal, Refusal::CrossSite)
                }
            };
            assert!(is_it, "{why:?} and {refusal:?}: {parts:?}");
        }
    }
});

const TRUSTED: &str = "https://partner.example";

struct Site {
    runtime: Runtime,
    web: Web,
    access: String,
    refresh: String,
    csrf: String,
}

static SITE: LazyLock<Site> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    let key = MasterKey::from_bytes("k", &[7; 32]).unwrap();
    let authority = Authority::builder(key, "issuer", "audience");
    let authority = authority.clock(move || now).entropy(Fixed([9; 16])).build().unwrap();
    let users = MemoryStore::new();
    assert!(users.insert(NewUser::without_password("alice", "alice").unwrap(), ()));
    let service = Service::new(authority, users);
    let web = Web::builder(service).client_address(ClientAddress::forwarded_for(1));
    let web = web.cookies(Cookies::new()).trust_origin(TRUSTED).build().unwrap();
    let (tokens, csrf) = runtime.block_on(async {
        let tokens = web.service().start_session("alice", "phone").await.unwrap();
        let session = web.service().authenticate(tokens.access()).await.unwrap();
        (tokens, web.csrf_token(&session).unwrap())
    });
    drop(_entered);
    Site {
        runtime,
        web,
        access: tokens.access().expose().to_owned(),
        refresh: tokens.refresh().expose().to_owned(),
        csrf: csrf.expose().to_owned(),
    }
});

/// Why a request is not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    NoToken,
    Several,
    TooLong,
    BadToken,
    CrossSite,
}

impl Site {
    /// The request of this text, if it is one.
    fn head(&self, bytes: &[u8]) -> Option<Parts> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let (method, target) = str::from_utf8(lines.next()?).ok()?.trim().split_once(' ')?;
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
        *request.uri_mut() = target.parse::<Uri>().ok()?;
        for line in lines {
            let at = line.iter().position(|byte| *byte == b':')?;
            let value = self.filled_in(line[at + 1..].trim_ascii());
            let name = HeaderName::from_bytes(&line[..at]).ok()?;
            request.headers_mut().append(name, HeaderValue::from_bytes(&value).ok()?);
        }
        Some(request.into_parts().0)
    }

    fn filled_in(&self, value: &[u8]) -> Vec<u8> {
        let tokens: [(&[u8], &str); 3] =
            [(b"$access", &self.access), (b"$refresh", &self.refresh), (b"$csrf", &self.csrf)];
        let mut filled = Vec::new();
        let mut rest = value;
        while let Some((first, after)) = rest.split_first() {
            match tokens.iter().find(|(mark, _)| rest.starts_with(mark)) {
                Some((mark, token)) => {
                    filled.extend(token.as_bytes());
                    rest = &rest[mark.len()..];
                }
                None => {
                    filled.push(*first);
                    rest = after;
                }
            }
        }
        filled
    }

    /// The expected result, by a second implementation of the rules.
    fn wanted(&self, parts: &Parts) -> Result<(), Why> {
        let cookies = all(&parts.headers, "cookie");
        if cookies.iter().map(|header| header.len()).sum::<usize>() > 16 * 1024 {
            return Err(Why::TooLong);
        }
        let joined = cookies.join(&b';');
        let ours: Vec<_> = joined
            .split(|byte| *byte == b';')
            .filter_map(|pair| pair.trim_ascii().strip_prefix(b"__Host-access="))
            .collect();
        if ours.len() > 1 {
            return Err(Why::Several);
        }
        let cookie = ours.first().and_then(|text| str::from_utf8(text).ok());
        let cookie = cookie.filter(|text| !text.is_empty());

        let authorizations = all(&parts.headers, "authorization");
        let bearer = match authorizations.as_slice() {
            [] => None,
            [one] if one.len() > 64 * 1024 => return Err(Why::TooLong),
            [one] => {
                let text = text(one).ok_or(Why::Several)?.to_owned();
                let (scheme, token) = match text.find(' ') {
                    Some(at) => (&text[..at], text[at..].trim_start_matches(' ')),
                    None => (&*text, ""),
                };
                scheme.eq_ignore_ascii_case("bearer").then(|| token.to_owned())
            }
            _ => return Err(Why::Several),
        };
        match (bearer, cookie) {
            (Some(_), Some(_)) => Err(Why::Several),
            (None, None) => Err(Why::NoToken),
            (Some(token), None) if token == self.access => Ok(()),
            (None, Some(token)) if token == self.access => match self.is_proven(parts) {
                true => Ok(()),
                false => Err(Why::CrossSite),
            },
            _ => Err(Why::BadToken),
        }
    }

    fn is_proven(&self, parts: &Parts) -> bool {
        let headers = |name| all(&parts.headers, name);
        let reads = ["GET", "HEAD", "OPTIONS", "TRACE"].contains(&parts.method.as_str());
        let opens = ["upgrade", "sec-websocket-key"].iter().any(|name| !headers(name).is_empty());
        if reads && !opens {
            return true;
        }
        let (sites, origins) = (headers("sec-fetch-site"), headers("origin"));
        if sites.len() > 1 || origins.len() > 1 {
            return false;
        }
        let is_text = |value: &&[u8]| text(value).is_some();
        if !sites.iter().all(is_text) || !origins.iter().all(is_text) {
            return false;
        }
        match (sites.as_slice(), origins.as_slice()) {
            ([b"same-origin" | b"none"], _) => true,
            (_, [origin]) if *origin == TRUSTED.as_bytes() => true,
            ([], [origin]) => own_origin(parts).is_some_and(|own| {
                let theirs = origin.strip_prefix(b"https://").unwrap_or_default();
                // The default port is none.
                let plain =
                    |host: &[u8]| host.strip_suffix(b":443").unwrap_or(host).to_ascii_lowercase();
                plain(theirs) == plain(own) && origin.starts_with(b"https://")
            }),
            ([], []) => headers(CSRF_HEADER) == [self.csrf.as_bytes()],
            _ => false,
        }
    }
}

/// The host of the request.
fn own_origin(parts: &Parts) -> Option<&[u8]> {
    match (parts.uri.authority(), all(&parts.headers, "host").as_slice()) {
        (Some(authority), _) => Some(authority.as_str().as_bytes()),
        (None, [host]) => text(host).map(str::as_bytes),
        _ => None,
    }
}

fn all<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

/// Visible ASCII and spaces.
fn text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\t');
    str::from_utf8(value).ok().filter(|_| is_text)
}
