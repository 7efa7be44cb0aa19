//! The label of a device, from its `User-Agent`.

use http::{HeaderMap, header::USER_AGENT};

/// A short name such as `Firefox on Linux`. For a program that is not a known browser, it is the
/// first word of the header; without the header, it is `Unknown device`.
pub(crate) fn label(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    match (named(BROWSERS), named(SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) => match agent.split(' ').next() {
            Some(program) if !program.is_empty() => program.to_owned(),
            _ => "Unknown device".to_owned(),
        },
    }
}

/// In this order: a browser's `User-Agent` also contains the marks of browsers further down.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

const SYSTEMS: &[(&str, &str)] = &[
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(agent: &[u8]) -> String {
        let agent = HeaderValue::from_bytes(agent).unwrap();
        label(&HeaderMap::from_iter([(USER_AGENT, agent)]))
    }

    #[test]
    fn a_browser_is_named_with_its_system() {
        let windows =
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)";
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15";
        let named = [
            (format!("{windows} Chrome/140.0.0.0 Safari/537.36"), "Chrome on Windows"),
            (format!("{windows} Chrome/140.0.0.0 Safari/537.36 Edg/140.0"), "Edge on Windows"),
            (format!("{windows} Chrome/140.0.0.0 Safari/537.36 OPR/120.0"), "Opera on Windows"),
            (format!("{iphone} Version/18.0 Mobile/15E148 Safari/604.1"), "Safari on iPhone"),
            (format!("{iphone} CriOS/140.0 Mobile/15E148 Safari/604.1"), "Chrome on iPhone"),
            (
                "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Firefox/140.0".into(),
                "Firefox on Android",
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64) Chrome/140.0 Safari/537.36".into(),
                "Chrome on ChromeOS",
            ),
            ("Firefox/140.0".into(), "Firefox"),
        ];
        for (agent, name) in named {
            assert_eq!(of(agent.as_bytes()), name, "{agent}");
        }
    }

    #[test]
    fn anything_else_is_what_it_calls_itself_first() {
        assert_eq!(of(b"curl/8.15.0"), "curl/8.15.0");
        assert_eq!(of(b"our-app/2 (Linux; x)"), "our-app/2");
        for nothing in [&b""[..], b"\xff\xfe"] {
            assert_eq!(of(nothing), "Unknown device");
        }
        assert_eq!(label(&HeaderMap::new()), "Unknown device");
    }
}
