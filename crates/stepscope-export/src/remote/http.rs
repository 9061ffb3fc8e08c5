//! JSON over HTTP, with answers sorted into "later" and "never".

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use super::target::SendError;
use crate::ExportError;

/// No request waits longer than this.
const LONGEST_REQUEST: Duration = Duration::from_secs(10);
/// So much of what a server says goes into a message.
const LONGEST_MESSAGE: usize = 300;

/// A server, and what identifies us to it.
pub(super) struct Server {
    agent: Agent,
    /// Without a slash at its end.
    base: String,
    headers: Vec<(&'static str, String)>,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Server {
    /// A server at `http://host[:port][/path]`. Proxies are those of the environment.
    pub(super) fn new(url: &str, example: &'static str) -> Result<Self, ExportError> {
        let wrong = |reason| ExportError::Url { url: without_secrets(url), reason, example };
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let rest = rest.ok_or_else(|| wrong("the address does not begin with http:// or https://"))?;
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || !c.is_ascii();
        if rest.is_empty() || rest.starts_with(['/', ':', '?', '#']) || rest.contains(is_odd) {
            return Err(wrong("the address names no host"));
        }
        let agent = Agent::config_builder()
            .timeout_global(Some(LONGEST_REQUEST))
            .http_status_as_error(false)
            .user_agent(concat!("stepscope/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self { agent, base: url.trim_end_matches('/').to_owned(), headers: Vec::new() })
    }

    /// Sends a header with every request.
    pub(super) fn add_header(&mut self, name: &'static str, value: String) {
        self.headers.push((name, value));
    }

    /// The address as messages may show it.
    pub(super) fn shown(&self) -> String {
        without_secrets(&self.base)
    }

    pub(super) fn get(&self, path: &str, key: &str, value: &str) -> Result<Answer, SendError> {
        let request = self.agent.get(format!("{}{path}", self.base)).query(key, value);
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        answer(request.call())
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Answer, SendError> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        answer(request.send_json(body))
    }
}

impl Answer {
    /// The body, where the server agreed.
    pub(super) fn accepted(self) -> Result<Value, SendError> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let said = ["message", "error"].iter().find_map(|key| self.body[*key].as_str());
        let said: String = said.unwrap_or("no reason given").chars().take(LONGEST_MESSAGE).collect();
        let message = format!("status {}: {said}", self.status);
        // Too slow, too early, too many requests, and everything that is the server's own trouble.
        let is_passing = matches!(self.status, 408 | 425 | 429 | 500..);
        Err(if is_passing { SendError::Away(message) } else { SendError::Refused(message) })
    }
}

fn answer(outcome: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, SendError> {
    let mut response = outcome.map_err(|error| match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => SendError::Refused(error.to_string()),
        other => SendError::Away(other.to_string()),
    })?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().map_err(|error| SendError::Away(error.to_string()))?;
    // What is no JSON says nothing that is understood here; the status does.
    Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or_default() })
}

/// An address without user, password and query.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_with_one_that_is() {
        for url in ["", "localhost:5000", "ftp://x", "http://", "http:///x", "http://a b", "http://:5000"] {
            let message = Server::new(url, "http://127.0.0.1:5000").err().unwrap().to_string();
            assert!(message.starts_with(url) && message.ends_with("give an address like http://127.0.0.1:5000"));
        }
        assert!(Server::new("https://host:5000/path/", "").is_ok());
    }

    #[test]
    fn passwords_and_tokens_are_shown_to_nobody() {
        let server = Server::new("https://me:secret@host:1/a/?write_token=t", "").unwrap();
        assert_eq!(server.shown(), "https://host:1/a/");
        assert_eq!(without_secrets("me:secret@host"), "me:secret@host", "no scheme, no address");
    }
}
