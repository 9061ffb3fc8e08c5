//! Who may see the page: hosts it is asked under, and a token where it is offered beyond this machine.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::WatchError;

/// Name of the cookie that carries the token once it was in the address.
pub(crate) const COOKIE: &str = "stepscope_token";

const FEWEST_TOKEN_CHARACTERS: usize = 16;

/// Who may see the page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Access {
    /// Anyone on this machine who asks for it under one of its own names.
    ///
    /// Without that check a page from anywhere could have its own host name resolved to 127.0.0.1, and read the answers
    /// as if they came from itself.
    Loopback {
        /// The port that is listened on.
        port: u16,
    },
    /// Anyone who has the token. A page under a foreign name has no cookie of ours, so any host will do.
    Token(String),
}

/// What a request shows of its sender.
#[derive(Debug, Default)]
pub(crate) struct Credentials<'a> {
    pub(crate) host: Option<&'a str>,
    pub(crate) cookies: Option<&'a str>,
    pub(crate) authorization: Option<&'a str>,
    /// The token in the address.
    pub(crate) token: Option<&'a str>,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is answered.
    Granted,
    /// The token was in the address: it moves to a cookie, and out of the address.
    MoveToCookie,
    /// It was asked under a name that is not this machine's.
    WrongHost,
    /// There is no token, or a wrong one.
    NoToken,
}

impl Access {
    pub(crate) fn judge(&self, shown: &Credentials) -> Verdict {
        match self {
            Self::Loopback { port } => match shown.host {
                Some(host) if is_loopback(host, *port) => Verdict::Granted,
                _ => Verdict::WrongHost,
            },
            Self::Token(token) => {
                let is_it = |given: &str| constant_time_eq(given.as_bytes(), token.as_bytes());
                let cookies =
                    shown.cookies.unwrap_or_default().split(';').filter_map(|pair| pair.trim().split_once('='));
                let bearer = shown.authorization.and_then(|text| text.strip_prefix("Bearer "));
                if shown.token.is_some_and(is_it) {
                    Verdict::MoveToCookie
                } else if cookies.filter(|(name, _)| *name == COOKIE).any(|(_, value)| is_it(value))
                    || bearer.is_some_and(is_it)
                {
                    Verdict::Granted
                } else {
                    Verdict::NoToken
                }
            }
        }
    }
}

/// Whether a `Host` header names this machine, with the port that is listened on.
fn is_loopback(host: &str, port: u16) -> bool {
    let (name, given) = match host.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((name, given)) if !given.contains(']') => (name, given.parse().ok()),
        _ => (host, Some(80)),
    };
    given == Some(port) && ["127.0.0.1", "localhost", "[::1]"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Compares without a shortcut: how long it takes says nothing about how much of a guess was right.
fn constant_time_eq(given: &[u8], expected: &[u8]) -> bool {
    let mut differs = u8::from(given.len() != expected.len());
    for (index, byte) in expected.iter().enumerate() {
        differs |= byte ^ given.get(index).copied().unwrap_or(0);
    }
    std::hint::black_box(differs) == 0
}

/// A token nobody can guess: 128 bits of a keyed hash whose key the standard library takes from the system's random
/// generator.
pub(crate) fn random_token() -> String {
    let (first, second) = (RandomState::new(), RandomState::new());
    format!("{:016x}{:016x}", first.hash_one("stepscope watch"), second.hash_one("token"))
}

/// A token as given by a user, if a header can carry it and it is long enough.
pub(crate) fn checked_token(token: String) -> Result<String, WatchError> {
    let plain = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if plain && token.len() >= FEWEST_TOKEN_CHARACTERS {
        Ok(token)
    } else {
        Err(WatchError::Token { length: token.chars().count() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered_on_the_loopback() {
        let access = Access::Loopback { port: 7117 };
        let judge = |host| access.judge(&Credentials { host, ..Credentials::default() });
        for host in ["127.0.0.1:7117", "localhost:7117", "LOCALHOST:7117", "[::1]:7117"] {
            assert_eq!(judge(Some(host)), Verdict::Granted, "{host}");
        }
        for host in [
            "evil.example:7117",
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost.evil.example:7117",
            "localhost:7117:1",
            "",
            "::1",
        ] {
            assert_eq!(judge(Some(host)), Verdict::WrongHost, "{host}");
        }
        assert_eq!(judge(None), Verdict::WrongHost);
        assert_eq!(
            Access::Loopback { port: 80 }.judge(&Credentials { host: Some("[::1]"), ..Credentials::default() }),
            Verdict::Granted
        );
    }

    #[test]
    fn a_token_is_taken_from_address_cookie_or_header_and_nothing_else_will_do() {
        let token = random_token();
        let access = Access::Token(token.clone());
        let cookie = format!("other=1; {COOKIE}={token}; {COOKIE}x=2");
        let bearer = format!("Bearer {token}");
        let none = Credentials::default;
        assert_eq!(access.judge(&Credentials { token: Some(&token), ..none() }), Verdict::MoveToCookie);
        assert_eq!(access.judge(&Credentials { cookies: Some(&cookie), ..none() }), Verdict::Granted);
        assert_eq!(access.judge(&Credentials { authorization: Some(&bearer), ..none() }), Verdict::Granted);
        let short = &token[..31];
        let long = format!("{token}0");
        for wrong in ["", short, &long, "x"] {
            assert_eq!(
                access.judge(&Credentials { token: Some(wrong), host: Some("127.0.0.1:7117"), ..none() }),
                Verdict::NoToken
            );
            let cookie = format!("{COOKIE}={wrong}");
            assert_eq!(access.judge(&Credentials { cookies: Some(&cookie), ..none() }), Verdict::NoToken);
        }
    }

    #[test]
    fn tokens_differ_and_bad_ones_are_refused() {
        assert_ne!(random_token(), random_token());
        assert_eq!(random_token().len(), 32);
        assert!(checked_token(random_token()).is_ok());
        for bad in ["short", "sixteen-chars-\n-and-more", "päßword-long-enough"] {
            assert!(checked_token(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
