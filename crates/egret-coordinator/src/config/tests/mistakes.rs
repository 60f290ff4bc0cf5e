//! Every kind of mistake, and the one line that it gets.

use super::*;

/// Checks a list of texts, each followed by `=>` and the rest of the error it gets after `egret.toml:`.
#[track_caller]
fn check(wrap: impl Fn(&str) -> String, list: &str) {
    let mut text = String::new();
    for line in list.trim_start_matches('\n').lines() {
        let Some(want) = line.strip_prefix("    => ") else {
            text = text + line + "\n";
            continue;
        };
        match Config::parse(&wrap(text.trim_end()), "egret.toml") {
            Err(error) => assert_eq!(error.to_string(), format!("egret.toml:{want}")),
            Ok(config) => panic!("{text:?} was taken as {config:?}"),
        }
        text.clear();
    }
}

#[test]
fn broken_toml_is_shown_where_it_breaks() {
    check(
        str::to_owned,
        r#"
listen =
    => 1:9: not TOML: string values must be quoted, expected literal string
listen = "x
    => 1:12: not TOML: invalid basic string, expected `"`
listen "x"
    => 1:8: not TOML: key with no value, expected `=`

[service
    => 2:9: not TOML: unclosed table, expected `]`
listen = 01
    => 1:10: not TOML: unexpected leading zero; remove `0`
listen = "127.0.0.1:1"
listen = ""
    => 2:1: `listen` is set twice; keep one
"#,
    );
    let error = Config::parse("# grün\r\n\"ü\" = {é", "egret.toml").unwrap_err();
    assert_eq!(error.position, Some(Position { line: 2, column: 9 }), "characters, not bytes");
}

#[test]
fn the_top_of_the_file_is_checked() {
    check(
        str::to_owned,
        r#"
listen = 7043
    => 1:10: key `listen`: a whole number, not text; put it in quotes
listen = "localhost:7043"
    => 1:10: key `listen`: `localhost:7043` is not an address and port; write 127.0.0.1:7043 or [::1]:7043
tls = { cert = "a.pem" }
    => 1:7: key `tls`: `cert` without its `key`; name both files, or neither
tls = { key = "a.pem" }
    => 1:7: key `tls`: `key` without its `cert`; name both files, or neither
tls = { key = "a.pem", cert = "" }
    => 1:31: key `tls.cert`: empty; say something or remove the key
tls = { certificate = "a.pem" }
    => 1:9: key `tls.certificate`: unknown key `certificate`; remove it, or write one of: cert, key, channel_binding
insecure = "yes"
    => 1:12: key `insecure`: text, not true or false; write one of them without quotes
tls = {}
insecure = true
    => 2:12: key `insecure`: plain HTTP and [tls] at once; remove one of them
trusted_proxies = ["10.0.0.0/8", "proxy"]
    => 1:34: key `trusted_proxies[1]`: `proxy` is not a network; write 10.0.0.0/8 or 192.0.2.7
bootstrap = true
    => 1:13: key `bootstrap`: true or false, not text; put it in quotes
bootstrap = "data.iana.org/rdap/"
    => 1:13: key `bootstrap`: `data.iana.org/rdap/` is no URL (relative URL without a base); write a base URL, such as https://api.example.org/v1/
bootstrap = "https://data.iana.org/rdap/dns.json"
    => 1:13: key `bootstrap`: `https://data.iana.org/rdap/dns.json` does not end in `/`; write the folder of the four files, such as https://data.iana.org/rdap/
bootstrap = "http://data.iana.org/rdap/"
    => 1:13: key `bootstrap`: `http://data.iana.org/rdap/` is plain HTTP, and not on this host; write the folder of the four files, such as https://data.iana.org/rdap/
catalogue = false
bootstrap = "https://data.iana.org/rdap/"
    => 2:13: key `bootstrap`: it keeps the catalogue new, and `catalogue = false` turns that off; remove one of them
lisen = ""
    => 1:1: key `lisen`: unknown key `lisen`; did you mean `listen`?
data-dir = ""
    => 1:1: key `data-dir`: unknown key `data-dir`; did you mean `data_dir`?
frobnicate = 1
    => 1:1: key `frobnicate`: unknown key `frobnicate`; remove it, or write one of: listen, data_dir, tls, insecure, trusted_proxies, new_egress, default_deadline, cache_size, catalogue, bootstrap, api_key, service
"a\nb" = 1
    => 1:1: key `"a\nb"`: unknown key `a\nb`; remove it, or write one of: listen, data_dir, tls, insecure, trusted_proxies, new_egress, default_deadline, cache_size, catalogue, bootstrap, api_key, service
database = "postgres://db"
    => 1:1: key `database`: `database` is not supported by this version of egret; remove it
[api_key]
    => 1:1: key `api_key`: one table where a list is due; write [[api_key]] with two brackets
[retention]
    => 1:2: key `retention`: `retention` is not supported by this version of egret; remove it
min_free = "1GiB"
    => 1:1: key `min_free`: `min_free` is not supported by this version of egret; remove it
data_dir = ""
    => 1:12: key `data_dir`: empty; say something or remove the key
data_dir = ["a"]
    => 1:12: key `data_dir`: a list, not text; write one value in quotes
new_egress = "frsh"
    => 1:14: key `new_egress`: `frsh` is unknown; write one of: fresh, ramp, wait
default_deadline = "0s"
    => 1:20: key `default_deadline`: `0s` is out of range; write 1ms to 366d
default_deadline = 7
    => 1:20: key `default_deadline`: a whole number, not a duration; write a whole number and a unit in quotes: "250ms", "30s", "15m", "12h", "1d"
cache_size = 256
    => 1:14: key `cache_size`: a whole number, not text; put it in quotes
cache_size = "256MB"
    => 1:14: key `cache_size`: `256MB` is not a size; write a whole number and a unit: 500B, 64KiB, 1MiB
cache_size = "1025GiB"
    => 1:14: key `cache_size`: `1025GiB` is out of range; write 0B to 1024GiB
[service]
    => 1:1: key `service`: one table where a list is due; write [[service]] with two brackets
service = [1]
    => 1:12: key `service[0]`: a whole number, not a table; write { key = value }
service = 1
    => 1:11: key `service`: a whole number, not a list; put it in [ ]
"#,
    );
}

#[test]
fn what_a_key_says_is_checked_and_never_repeated_where_it_may_be_secret() {
    let hash = |digit: &str| format!("\"sha256:{}\"", digit.repeat(64));
    check(
        |keys| format!("[[api_key]]\n{keys}").replace("HASH", &hash("a")).replace("OTHER", &hash("b")),
        r#"
    => 1:1: key `api_key[0].name`: missing; write the owner's name, such as name = "research"
name = "a"
    => 1:1: key `api_key[0].hash`: missing; write what `egret key create` prints, hash = "sha256:…"
name = "a"
hash = HASH
    => 1:1: key `api_key[0].role`: missing; write role = "read", "submit" or "admin"
name = "a"
hash = HASH
role = "root"
    => 4:8: key `api_key[0].role`: `root` is unknown; write one of: read, submit, admin
name = "A B"
hash = HASH
role = "read"
    => 2:8: key `api_key[0].name`: `A B` is not a name; write 1 to 64 of a-z, 0-9, `.`, `_` and `-`
name = "a"
hash = "egk1_0123456789ab_cdef"
role = "read"
    => 3:8: key `api_key[0].hash`: a key, not its hash; take the key as known to others now, and make another with `egret key create`
name = "a"
hash = "hunter2"
role = "read"
    => 3:8: key `api_key[0].hash`: not a hash of a key; write sha256: and 64 hexadecimal digits, as `egret key create` prints them
name = "a"
hash = HASH
role = "read"
weight = 0
    => 5:10: key `api_key[0].weight`: `0` is out of range; write 1 to 1000
name = "a"
hash = HASH
role = "read"
services = ["whois.*"]
    => 5:12: key `api_key[0].services`: without effect for a key that submits nothing; remove it, or change `role`
name = "a"
hash = HASH
role = "submit"
services = []
    => 5:12: key `api_key[0].services`: empty; name a service, or remove the key to allow all of them
name = "a"
hash = HASH
role = "submit"
services = ["whois.*", "Who?"]
    => 5:24: key `api_key[0].services[1]`: `Who?` matches no id of a service; write one such as whois.* or whois.example.org
name = "a"
hash = HASH
role = "submit"
key = "x"
    => 5:1: key `api_key[0].key`: unknown key `key`; remove it, or write one of: name, hash, role, weight, services
name = "a"
hash = HASH
role = "submit"
[[api_key]]
name = "b"
hash = HASH
role = "submit"
    => 7:8: key `api_key[1].hash`: the hash of the key of egret.toml:1:1 too; remove one of them
name = "a"
hash = HASH
role = "submit"
weight = 3
[[api_key]]
name = "a"
hash = OTHER
role = "read"
    => 7:8: key `api_key[1].name`: `a` has weight 3 in egret.toml:1:1, and its keys share one; write weight = 3, or change both
name = "a"
hash = HASH
role = "submit"
[[api_key]]
name = "a"
hash = OTHER
role = "read"
weight = 2
    => 9:10: key `api_key[1].weight`: `a` has weight 1 in egret.toml:1:1, and its keys share one; write weight = 1, or change both
"#,
    );
}

#[test]
fn keys_beyond_a_thousand_are_too_many() {
    let key = |n: usize| format!("[[api_key]]\nname = \"a\"\nhash = \"sha256:{n:064}\"\nrole = \"read\"\n");
    let text: String = (0..=1_000).map(key).collect();
    let error = Config::parse(&text, "egret.toml").unwrap_err().to_string();
    let want = "egret.toml:4001:1: key `api_key[1000]`: more than 1000 keys; remove those that are not used";
    assert_eq!(error, want);
}

#[test]
fn what_a_service_needs_is_asked_for() {
    check(
        |keys| format!("[[service]]\n{keys}"),
        r#"
    => 1:1: key `service[0].id`: missing; write a name for the service, such as id = "whois.example.org"
id = "x"
    => 1:1: key `service[0].address`: missing; write where it is, such as address = "whois.example.org:43"
id = "x"
address = "x:43"
    => 1:1: key `service[0].protocol`: missing; write protocol = "whois", "rdap" or "http"
id = ""
    => 2:6: key `service[0].id`: `` is not an id; write 1 to 253 of a-z, 0-9, `.`, `_` and `-`
id = "Whois Eu"
    => 2:6: key `service[0].id`: `Whois Eu` is not an id; write 1 to 253 of a-z, 0-9, `.`, `_` and `-`
id = 1
    => 2:6: key `service[0].id`: a whole number, not text; put it in quotes
id = "x"
address = "x:43"
protocol = "gopher"
    => 4:12: key `service[0].protocol`: `gopher` is unknown; write "whois", "rdap" or "http"
id = "x"
address = "x:43"
protocol = "http"
    => 3:11: key `service[0].address`: `x:43` is no http:// or https:// URL; write a base URL, such as https://api.example.org/v1/
id = "x"
address = "x:43"
protocol = "gopher"
    => 4:12: key `service[0].protocol`: `gopher` is unknown; write "whois", "rdap" or "http"
"#,
    );
}

#[test]
fn an_address_is_a_host_and_a_port() {
    const ADDRESS: &str = "whois.eu\n    => 4:11: key `service[0].address`: `whois.eu` has no port";
    const MEND: &str = "; write host:port, such as whois.example.org:43 or [2001:db8::1]:43";
    for address in ["whois.eu", "[2001:db8::1]"] {
        assert_eq!(value::host_and_port(address), Err(format!("`{address}` has no port{MEND}")));
    }
    for address in
        ["2001:db8::1", "2001:db8::1:43", "[whois.eu]:43", "whois://whois.eu:43", "a b:43", ":43", ""]
    {
        assert_eq!(value::host_and_port(address), Err(format!("`{address}` is not a host and port{MEND}")));
    }
    for (address, port) in [("x:0", "0"), ("x:+43", "+43"), ("x:", ""), ("[::1]:65536", "65536")] {
        assert_eq!(value::host_and_port(address), Err(format!("`{port}` is not a port; write 1 to 65535")));
    }
    check(|address| service("").replace("a.example:43", address), &format!("{ADDRESS}{MEND}\n"));
}

#[test]
fn quotas_are_checked_one_by_one() {
    check(
        service,
        r#"
quotas = []
    => 5:10: key `service[0].quotas`: empty; state a quota, or remove the key for the careful default (1 per 2s)
quotas = { units = 1, per = "1s" }
    => 5:10: key `service[0].quotas`: a table, not a list; put it in [ ]
quotas = [1]
    => 5:11: key `service[0].quotas[0]`: a whole number, not a table; write { key = value }
quotas = [{ units = 0, per = "1s" }]
    => 5:21: key `service[0].quotas[0].units`: `0` is out of range; write 1 to 1000000
quotas = [{ units = -1, per = "1s" }]
    => 5:21: key `service[0].quotas[0].units`: `-1` is out of range; write 1 to 1000000
quotas = [{ units = 1_000_001, per = "1s" }]
    => 5:21: key `service[0].quotas[0].units`: `1000001` is out of range; write 1 to 1000000
quotas = [{ units = "1", per = "1s" }]
    => 5:21: key `service[0].quotas[0].units`: text, not a whole number; write one without quotes, such as 10
quotas = [{ units = 1.5, per = "1s" }]
    => 5:21: key `service[0].quotas[0].units`: a fraction, not a whole number; write one without quotes, such as 10
quotas = [{ units = 9, per = "1s" },
  { units = 1, per = "1 sec" }]
    => 6:22: key `service[0].quotas[1].per`: `1 sec` is not a duration; write a whole number and a unit: 250ms, 30s, 15m, 12h, 1d
quotas = [{ units = 1, per = "0s" }]
    => 5:30: key `service[0].quotas[0].per`: `0s` is out of range; write 1ms to 366d
quotas = [{ units = 1, per = "367d" }]
    => 5:30: key `service[0].quotas[0].per`: `367d` is out of range; write 1ms to 366d
quotas = [{ units = 1, per = 60 }]
    => 5:30: key `service[0].quotas[0].per`: a whole number, not a duration; write a whole number and a unit in quotes: "250ms", "30s", "15m", "12h", "1d"
quotas = [{ units = 1 }]
    => 5:11: key `service[0].quotas[0].per`: missing; write the span they are counted over, such as per = "1m"
quotas = [{ per = "1s" }]
    => 5:11: key `service[0].quotas[0].units`: missing; write the calls allowed, such as units = 10
quotas = [{ unit = 1, per = "1s" }]
    => 5:13: key `service[0].quotas[0].unit`: unknown key `unit`; did you mean `units`?
quotas = [{ units = 1, per = "1s", share = 0.5 }]
    => 5:11: key `service[0].quotas[0]`: not even one unit fits into the part of it that may be used; raise `units` or `share`
cost = 6
quotas = [{ units = 9, per = "1s" }, { units = 10, per = "1m", share = 0.5 }]
    => 6:38: key `service[0].quotas[1]`: not even one call of 6 units fits into the part of it that may be used; raise `units` or `share`
quotas = [{ units = 9, per = "1s", share = "half" }]
    => 5:44: key `service[0].quotas[0].share`: text, not a number; write one without quotes, such as 0.5
quotas = [{ units = 9, per = "1s", share = 1.5 }]
    => 5:44: key `service[0].quotas[0].share`: out of range; write 0.001 to 1.0
quotas = [{ units = 9, per = "1s", share = 0 }]
    => 5:44: key `service[0].quotas[0].share`: out of range; write 0.001 to 1.0
quotas = [{ units = 1, per = "1s", scope = "ipv4" }]
    => 5:44: key `service[0].quotas[0].scope`: `ipv4` is no scope; write "ip", "subnet", "fleet" or "tag:NAME"
quotas = [{ units = 1, per = "1s", scope = "tag:" }]
    => 5:44: key `service[0].quotas[0].scope`: `tag:` is no scope; write "ip", "subnet", "fleet" or "tag:NAME"
quotas = [{ units = 1, per = "1s", ipv4_prefix = 24 }]
    => 5:50: key `service[0].quotas[0].ipv4_prefix`: only a network has a prefix; set scope = "subnet", or remove it
quotas = [{ units = 1, per = "1s", scope = "fleet", ipv6_prefix = 56 }]
    => 5:67: key `service[0].quotas[0].ipv6_prefix`: only a network has a prefix; set scope = "subnet", or remove it
quotas = [{ units = 1, per = "1s", scope = "subnet", ipv4_prefix = 33 }]
    => 5:68: key `service[0].quotas[0].ipv4_prefix`: `33` is out of range; write 1 to 32
quotas = [{ units = 1, per = "1s", scope = "subnet", ipv4_prefix = 0 }]
    => 5:68: key `service[0].quotas[0].ipv4_prefix`: `0` is out of range; write 1 to 32
quotas = [{ units = 1, per = "1s", scope = "subnet", ipv6_prefix = 129 }]
    => 5:68: key `service[0].quotas[0].ipv6_prefix`: `129` is out of range; write 1 to 64
quotas = [{ units = 1, per = "1s", ipv6_prefix = 128 }]
    => 5:50: key `service[0].quotas[0].ipv6_prefix`: `128` is out of range; write 1 to 64
quotas = [{ units = 1, per = "1s" }, { units = 1, per = "2s" }, { units = 1, per = "3s" }, { units = 1, per = "4s" }, { units = 1, per = "5s" }, { units = 1, per = "6s" }, { units = 1, per = "7s" }, { units = 1, per = "8s" }, { units = 1, per = "9s" }]
    => 5:10: key `service[0].quotas`: more than 8 quotas; leave out those that others imply
cost = 2
    => 5:8: key `service[0].cost`: without effect beside the careful default (1 per 2s, one call at a time); add `quotas`, or remove it
quotas = [{ units = 1, per = "1s", burst = 2 }]
    => 5:44: key `service[0].quotas[0].burst`: only a token bucket has a burst; set counting = "token-bucket", or remove it
counting = "token-bucket"
quotas = [{ units = 1, per = "1d", burst = 400 }]
    => 6:44: key `service[0].quotas[0].burst`: above `units`, and takes longer than 366d to fill; lower it
counting = "token-bucket"
quotas = [{ units = 10, per = "1s", burst = 50 }]
    => 6:45: key `service[0].quotas[0].burst`: above `units`; write what fills it: units = 50, per = "5s"
quotas = [{ units = 5, per = "1s" }, { units = 6, per = "1s" }]
    => 5:38: key `service[0].quotas[1]`: contradicts 5 per 1s for the same calls; keep one of them
quotas = [{ units = 5, per = "1m" }, { units = 10, per = "1s" }]
    => 5:38: key `service[0].quotas[1]`: 10 per 1s can never be spent beside 5 per 1m for the same calls; correct or remove one of them
counting = "leaky"
    => 5:12: key `service[0].counting`: `leaky` is unknown; write one of: sliding, fixed, token-bucket, two-bucket, unknown
counting = "sliding"
    => 5:12: key `service[0].counting`: without effect beside the careful default (1 per 2s, one call at a time); add `quotas`, or remove it
concurrency = 2
    => 5:15: key `service[0].concurrency`: without effect beside the careful default (1 per 2s, one call at a time); add `quotas`, or remove it
quotas = [{ units = 1, per = "1s" }]
concurrency = 0
    => 6:15: key `service[0].concurrency`: `0` is out of range; write 1 to 10000
"#,
    );
}

#[test]
fn the_other_keys_of_a_service_are_checked() {
    check(
        service,
        r#"
timeout = "2h"
    => 5:11: key `service[0].timeout`: `2h` is out of range; write 1ms to 1h
linger = "2h"
    => 5:10: key `service[0].linger`: `2h` is out of range; write 0ms to 1h
cool_down = "2d"
    => 5:13: key `service[0].cool_down`: the first rest (2d) is longer than `max_cool_down` (1d); lower it, or raise that
max_cool_down = "1s"
    => 5:17: key `service[0].max_cool_down`: the first rest (1m) is longer than `max_cool_down` (1s); lower it, or raise that
template = "domain"
    => 5:12: key `service[0].template`: {q} is missing, the place of the target; write "{q}" or "domain {q}"
template = "{q}\r\nx"
    => 5:12: key `service[0].template`: it must be one line of printable ASCII; CR LF is added when it is sent
zones = []
    => 5:9: key `service[0].zones`: empty; name a zone, or remove the key if the service answers any target
zones = "com"
    => 5:9: key `service[0].zones`: text, not a list; put it in [ ]
zones = ["com", ".com"]
    => 5:17: key `service[0].zones[1]`: `.com` is no zone; write a domain without dots around it, such as "com" or "co.uk"
zones = ["xn--p1ai", "РФ"]
    => 5:22: key `service[0].zones[1]`: zone `xn--p1ai` is given twice; keep one
charset = "klingon"
    => 5:11: key `service[0].charset`: `klingon` names no usable charset; write "auto" or a label such as "iso-8859-1" or "euc-kr"
cache_for = "never"
    => 5:13: key `service[0].cache_for`: `never` is not a duration; write a whole number and a unit: 250ms, 30s, 15m, 12h, 1d
cache_for = "367d"
    => 5:13: key `service[0].cache_for`: `367d` is out of range; write 0ms to 366d
cache_size = "1GiB"
    => 5:1: key `service[0].cache_size`: `cache_size` belongs at the top of the config file, above every [[…]]; move it there
max_answer = 1024
    => 5:14: key `service[0].max_answer`: a whole number, not text; put it in quotes
max_answer = "1MB"
    => 5:14: key `service[0].max_answer`: `1MB` is not a size; write a whole number and a unit: 500B, 64KiB, 1MiB
max_answer = "5MiB"
    => 5:14: key `service[0].max_answer`: `5MiB` is out of range; write 1B to 4MiB
max_answer = "0B"
    => 5:14: key `service[0].max_answer`: `0B` is out of range; write 1B to 4MiB
allow_private_addresses = "no"
    => 5:27: key `service[0].allow_private_addresses`: text, not true or false; write one of them without quotes
source = " "
    => 5:10: key `service[0].source`: empty; say something or remove the key
source = "a\nb"
    => 5:10: key `service[0].source`: not one line of up to 1000 characters; shorten it, without control characters
terms_url = "see above"
    => 5:13: key `service[0].terms_url`: `see above` is not a link; write https://…, in ASCII without spaces
quota = []
    => 5:1: key `service[0].quota`: unknown key `quota`; did you mean `quotas`?
zone = "a"
timout = "1s"
    => 5:1: key `service[0].zone`: unknown key `zone`; did you mean `zones`?
group = "g"
    => 5:1: key `service[0].group`: `group` is not supported by this version of egret; remove it
[service.headers]
    => 5:1: key `service[0].headers`: `headers` is for http services only; remove it
methods = ["GET"]
    => 5:11: key `service[0].methods`: `methods` is for http services only; remove it
listen = "127.0.0.1:1"
    => 5:1: key `service[0].listen`: `listen` belongs at the top of the config file, above every [[…]]; move it there
[[service]]
id = "a"
protocol = "whois"
address = "b:43"
    => 6:6: key `service[1].id`: `a` is already the id of egret.toml:2:6; rename or remove one
"#,
    );
}

#[test]
fn a_sign_of_refusal_must_be_able_to_show() {
    check(
        service,
        r#"
refused_when = { empty = true }
    => 5:16: key `service[0].refused_when`: a table, not a list; put it in [ ]
refused_when = [{}]
    => 5:17: key `service[0].refused_when[0]`: a rule has one sign; write { text = "…" }, { empty = true } or { closed = true }
refused_when = [{ text = "a", empty = true }]
    => 5:17: key `service[0].refused_when[0]`: a rule has one sign; write { text = "…" }, { empty = true } or { closed = true }
refused_when = [{ text = "(limit" }]
    => 5:26: key `service[0].refused_when[0].text`: `text` is no regular expression: unclosed group
refused_when = [{ empty = false }]
    => 5:27: key `service[0].refused_when[0].empty`: false says nothing; write true, or remove the rule
refused_when = [{ closed = 1 }]
    => 5:28: key `service[0].refused_when[0].closed`: a whole number, not true or false; write one of them without quotes
refused_when = [{ txt = "a" }]
    => 5:19: key `service[0].refused_when[0].txt`: unknown key `txt`; did you mean `text`?
refused_when = [{ status = [429] }]
    => 5:28: key `service[0].refused_when[0].status`: whois has no `status`; write { text = "…" }, { empty = true } or { closed = true }
"#,
    );
}

#[test]
fn an_http_service_takes_no_keys_of_whois_and_states_its_statuses() {
    check(
        http,
        r#"
template = "{q}"
    => 5:12: key `service[0].template`: `template` is for whois services only; remove it
zones = ["com"]
    => 5:9: key `service[0].zones`: `zones` is for whois services only; remove it
charset = "auto"
    => 5:11: key `service[0].charset`: `charset` is for whois services only; remove it
methods = "GET"
    => 5:11: key `service[0].methods`: text, not a list; put it in [ ]
max_answer = "2GiB"
    => 5:14: key `service[0].max_answer`: `2GiB` is out of range; write 1B to 1024MiB
methods = []
    => 5:11: key `service[0].methods`: empty; name a method, or remove the key for ["GET", "HEAD"]
methods = ["get"]
    => 5:12: key `service[0].methods[0]`: `get` is unknown; write one of: GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE
methods = ["GET", "GET"]
    => 5:19: key `service[0].methods[1]`: `GET` is given twice; keep one
headers = ["a"]
    => 5:11: key `service[0].headers`: a list, not a table; write { "x-api-key" = "…" }
headers = { Host = "a" }
    => 5:20: key `service[0].headers.Host`: `Host` is egret's to set, or no business of the service; remove it
headers = { "a b" = "a" }
    => 5:21: key `service[0].headers."a b"`: `a b` is no name of a header field; write letters, digits and `-`
headers = { a = "1", A = "2" }
    => 5:17: key `service[0].headers.a`: `a` is given twice in another spelling; keep one
headers = { a = 1 }
    => 5:17: key `service[0].headers.a`: a whole number, not text; put it in quotes
headers = { a = "${EGRET_TEST_UNSET}" }
    => 5:17: key `service[0].headers.a`: the environment has no variable `EGRET_TEST_UNSET`; set it for this process
headers = { a = "hush ${X" }
    => 5:17: key `service[0].headers.a`: a `${` without its `}`; write ${NAME}
headers = { a = "hush ${X-Y}" }
    => 5:17: key `service[0].headers.a`: between `${` and `}` stands no name of a variable; write ${NAME}
headers = { a = "hush\u00e9" }
    => 5:17: key `service[0].headers.a`: with its variables filled in, not one line of up to 8 KiB of visible ASCII; correct it
headers = { a = "" }
    => 5:17: key `service[0].headers.a`: with its variables filled in, not one line of up to 8 KiB of visible ASCII; correct it
refused_when = [{ status = 429 }]
    => 5:28: key `service[0].refused_when[0].status`: a whole number, not a list; put it in [ ]
refused_when = [{ status = [] }]
    => 5:28: key `service[0].refused_when[0].status`: `status` takes HTTP status codes from 100 to 599, such as [429, 503]
refused_when = [{ status = [429, 600] }]
    => 5:34: key `service[0].refused_when[0].status[1]`: `600` is out of range; write 100 to 599
refused_when = [{ status = [429], empty = true }]
    => 5:17: key `service[0].refused_when[0]`: a rule has one sign; write { status = [429] }, { text = "…" }, { empty = true } or { closed = true }
"#,
    );
}

#[test]
fn an_http_service_lives_at_a_base_url() {
    for (address, why) in [
        ("api.example:80", "is no http:// or https:// URL"),
        ("ftp://api.example/", "is no http:// or https:// URL"),
        ("//api.example/", "is no URL (relative URL without a base)"),
        ("http://", "is no URL (empty host)"),
        ("http://a.example:99999/", "is no URL (invalid port number)"),
        ("https://me@api.example/", "holds a user or a password"),
        ("https://:pw@api.example/", "holds a user or a password"),
        ("https://api.example/?key=1", "holds a query or a fragment"),
        ("https://api.example/#a", "holds a query or a fragment"),
        ("https://bücher.example/", "is not ASCII without spaces"),
        (" https://api.example/", "is not ASCII without spaces"),
    ] {
        let error = value::base_url(address).unwrap_err();
        assert!(error.starts_with(&format!("`{address}` {why}")), "{error}");
    }
}

#[test]
fn mistakes_outside_of_the_file_name_their_place_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    let beside = folder.path().join("services/a.toml");
    let load = |overrides| Config::load(&file, &overrides).map(|_| ()).unwrap_err().to_string();
    let none = Overrides::default;

    assert!(load(none()).contains("egret.toml: cannot be read: "), "{}", load(none()));
    fs::write(&file, b"# \xc3\xbc\n\xff").unwrap();
    assert_eq!(load(none()), format!("{}:2:1: not UTF-8; save the file as UTF-8 text", file.display()));
    fs::write(&file, service("")).unwrap();
    let listen = load(Overrides { listen: Some("localhost:1".to_owned()), data_dir: None });
    assert!(listen.starts_with("--listen or EGRET_LISTEN: key `listen`: `localhost:1` is not"), "{listen}");
    let data_dir = load(Overrides { listen: None, data_dir: Some("".into()) });
    assert!(data_dir.starts_with("--data-dir or EGRET_DATA_DIR: key `data_dir`: empty;"), "{data_dir}");

    fs::create_dir(folder.path().join("services")).unwrap();
    fs::write(&beside, service("")).unwrap();
    let twice =
        format!("key `service[0].id`: `a` is already the id of {}:2:6; rename or remove one", file.display());
    assert_eq!(load(none()), format!("{}:2:6: {twice}", beside.display()));
    fs::write(&beside, "listen = \"127.0.0.1:1\"").unwrap();
    assert!(
        load(none()).contains("a.toml:1:1: key `listen`: `listen` belongs at the top of the config file")
    );
}
