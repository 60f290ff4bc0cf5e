//! The `request` of an `http` lookup: checked, and made into what the service is asked.

use egret_lookup::fields::{is_value, refusal};
use egret_wire::agent::Protocol;
use egret_wire::api::{HttpRequest, JobRequest, Lookup, Query};
use egret_wire::ask::Ask;
use egret_wire::problem::Code;
use egret_wire::value::Bytes;
use url::form_urlencoded::Serializer;

use super::{Failure, shown};
use crate::config::ServiceConfig;

/// Header fields of a request.
const MOST_FIELDS: usize = 32;
/// Fields and body together, in bytes (chosen: the first jobs of each line are in memory, up to 200,000 of them).
const MOST_BYTES: usize = 16 << 10;

/// What a job is about. Where the request has the path, the target is that and its query, and leaves the request.
///
/// # Errors
/// `invalid_field`: neither has one, both have, or the lookup takes no request.
pub(super) fn target(job: &mut JobRequest) -> Result<String, Failure> {
    let invalid = |detail: &str, at: &str| Err(Failure::new(Code::InvalidField, detail).at(at));
    if job.request.is_some() && job.lookup != Lookup::Http {
        return invalid("only `http` lookups take a request; remove it", "/request");
    }
    let path = job.request.as_mut().and_then(|request| request.path.take());
    let target = match (job.target.take(), path) {
        (Some(_), Some(_)) => {
            return invalid("the target is the path already; give one of them", "/request/path");
        }
        (Some(target), None) => target,
        (None, Some(path)) => path,
        (None, None) => return invalid("missing field `target`", ""),
    };
    let query = job.request.as_mut().and_then(|request| request.query.take());
    Ok(query.map_or(target.clone(), |query| with_query(target, &query)))
}

/// A path with a query behind it, or behind the one that it has.
fn with_query(path: String, query: &Query) -> String {
    let query = match query {
        Query::Text(text) => text.clone(),
        Query::Pairs(pairs) => {
            let mut encoded = Serializer::new(String::new());
            for (name, values) in pairs {
                values.iter().for_each(|value| {
                    encoded.append_pair(name, value);
                });
            }
            encoded.finish()
        }
    };
    match (query.is_empty(), path.contains('?')) {
        (true, _) => path,
        (false, true) => format!("{path}&{query}"),
        (false, false) => format!("{path}?{query}"),
    }
}

/// What the service is sent: `planned`, over HTTP with the method, fields and body of the request.
///
/// # Errors
/// `invalid_field`: the service does not take such a request.
pub(super) fn question(
    service: &ServiceConfig,
    planned: Vec<u8>,
    request: Option<&HttpRequest>,
) -> Result<Vec<u8>, Failure> {
    if service.protocol != Protocol::Http {
        return Ok(planned);
    }
    let method = request.map_or("GET", |request| &*request.method);
    check_method(service, method).map_err(|failure| failure.at("/request/method"))?;
    let Some(HttpRequest { headers, body, .. }) = request else { return Ok(planned) };
    let path = String::from_utf8_lossy(&planned);
    let mut ask = Ask { method: method.to_owned(), body: body.clone(), ..Ask::get(path) };
    let mut bytes = body.0.len();
    for (name, value) in headers {
        let pointer = format!("/request/headers/{}", name.replace('~', "~0").replace('/', "~1"));
        let name = name.to_ascii_lowercase();
        check_field(service, &ask, &name, value)
            .map_err(|detail| Failure::new(Code::InvalidField, detail).at(&pointer))?;
        bytes += name.len() + value.len();
        ask.headers.push((name, Bytes(value.clone().into_bytes())));
    }
    if headers.len() > MOST_FIELDS || bytes > MOST_BYTES {
        let detail = "at most 32 header fields, and 16 KiB of them and the body together; /v1/via takes more";
        return Err(Failure::new(Code::InvalidField, detail).at("/request"));
    }
    ask.to_question().map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

/// # Errors
/// `invalid_field`: the service is not asked with this method.
pub(super) fn check_method(service: &ServiceConfig, method: &str) -> Result<(), Failure> {
    if service.methods.contains(&method) {
        return Ok(());
    }
    let (name, methods) = (service.lookup.id(), service.methods.join(", "));
    let detail = format!("{} is not taken; `methods` of {name} allows {methods}", shown(method));
    Err(Failure::new(Code::InvalidField, detail))
}

/// What is wrong with a field, if anything is.
fn check_field(service: &ServiceConfig, ask: &Ask, name: &str, value: &str) -> Result<(), String> {
    if let Some(why) = refusal(name) {
        return Err(format!("{} {why}", shown(name)));
    }
    if service.headers.iter().any(|(own, _)| own == name) {
        return Err(format!(
            "{} is set by the configuration of {}; remove it",
            shown(name),
            service.lookup.id()
        ));
    }
    if ask.headers.iter().any(|(other, _)| other == name) {
        return Err(format!("{} is given twice in another spelling; keep one", shown(name)));
    }
    match is_value(value) {
        true => Ok(()),
        false => Err("not one line of visible ASCII; encode what is not".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn service() -> ServiceConfig {
        let text = "[[service]]\nid = \"api\"\nprotocol = \"http\"\naddress = \"https://a.example\"\n\
                    methods = [\"GET\", \"POST\"]\nheaders = { x-api-key = \"sesame\" }\n";
        Config::parse(text, "egret.toml").unwrap().services.remove(0)
    }

    fn asked(request: &str) -> Result<Ask, Failure> {
        let request = serde_json::from_str(request).unwrap();
        question(&service(), b"/a".to_vec(), Some(&request)).map(|question| Ask::read(&question).unwrap())
    }

    #[track_caller]
    fn about(job: &str) -> Result<String, Failure> {
        target(&mut serde_json::from_str(job).unwrap())
    }

    #[test]
    fn the_path_is_the_target_and_its_query_is_encoded() {
        for (job, want) in [
            (r#"{"lookup":"http","target":"/a?b=1"}"#, "/a?b=1"),
            (r#"{"lookup":"http","request":{"path":"/a"}}"#, "/a"),
            (r#"{"lookup":"http","target":"/a","request":{"query":"b=1&c"}}"#, "/a?b=1&c"),
            (
                r#"{"lookup":"http","request":{"path":"/a?b=1","query":{"c":"& ü","d":["1","2"]}}}"#,
                "/a?b=1&c=%26+%C3%BC&d=1&d=2",
            ),
            (r#"{"lookup":"http","request":{"path":"/a","query":{}}}"#, "/a"),
        ] {
            assert_eq!(about(job).unwrap(), want, "{job}");
        }
        for (job, pointer) in [
            (r#"{"lookup":"http"}"#, ""),
            (r#"{"lookup":"http","request":{}}"#, ""),
            (r#"{"lookup":"domain","target":"a.example","request":{}}"#, "/request"),
            (r#"{"lookup":"http","target":"/a","request":{"path":"/b"}}"#, "/request/path"),
        ] {
            assert_eq!(about(job).unwrap_err().0.errors[0].pointer, pointer, "{job}");
        }
    }

    #[test]
    fn a_request_is_asked_as_it_is_written() {
        assert_eq!(question(&service(), b"/a".to_vec(), None).unwrap(), b"/a");
        assert_eq!(asked("{}").unwrap(), Ask::get("/a"));
        let ask = asked(r#"{"method":"POST","headers":{"X-Mine":"1"},"body":{"base64":"AAE="}}"#).unwrap();
        assert_eq!((&*ask.method, ask.body.0), ("POST", vec![0, 1]));
        assert_eq!(ask.headers, [("x-mine".to_owned(), Bytes(b"1".to_vec()))]);
    }

    #[test]
    fn a_request_that_the_service_does_not_take_is_refused_where_it_is_wrong() {
        let long = format!(r#"{{"body":"{}"}}"#, "a".repeat(MOST_BYTES + 1));
        for (request, pointer) in [
            (r#"{"method":"DELETE"}"#, "/request/method"),
            (r#"{"method":"get"}"#, "/request/method"),
            (r#"{"headers":{"Host":"evil.example"}}"#, "/request/headers/Host"),
            (r#"{"headers":{"X-API-Key":"guess"}}"#, "/request/headers/X-API-Key"),
            (r#"{"headers":{"x-egret-wait":"1s"}}"#, "/request/headers/x-egret-wait"),
            (r#"{"headers":{"a/b":"1"}}"#, "/request/headers/a~1b"),
            (r#"{"headers":{"A":"1","a":"2"}}"#, "/request/headers/a"),
            (r#"{"headers":{"a":"1\r\nx-api-key: guess"}}"#, "/request/headers/a"),
            (&long, "/request"),
        ] {
            let Failure(problem) = asked(request).unwrap_err();
            assert_eq!(
                (problem.code, &*problem.errors[0].pointer),
                (Code::InvalidField, pointer),
                "{request}"
            );
            assert!(!problem.detail.contains("sesame"));
        }
    }

    #[test]
    fn a_service_that_is_only_posted_to_is_not_asked_by_get() {
        let service = ServiceConfig { methods: vec!["POST"], ..service() };
        assert!(question(&service, b"/a".to_vec(), None).is_err());
    }
}
