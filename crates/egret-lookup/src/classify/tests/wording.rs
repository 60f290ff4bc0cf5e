//! The wording of many registries, most of which are in no collection of recorded answers.

use super::*;

/// Each line is a whole answer.
#[track_caller]
fn check(is_wanted: fn(Verdict) -> bool, lines: &[&str]) {
    let judged = lines.iter().map(|line| (*line, judge(&format!("{line}\r\n"))));
    let wrong: Vec<(&str, Verdict)> = judged.filter(|(_, verdict)| !is_wanted(*verdict)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn limits_are_heard_in_the_words_of_many_registries_and_languages() {
    check(
        |verdict| matches!(verdict, Verdict::Refused { .. }),
        &[
            "Your access is too fast,please try again later.",
            "Queried interval is too short.",
            "The query frequency too fast, please query later",
            "# Your IP has been restricted due to excessive access, please wait a bit",
            "registry.test: maximum number of requests per minute exceeded",
            "registry.test: only allowed to query once per second",
            "-1: Excessive querying, grace period of 1 seconds",
            "The WHOIS query quota for 192.0.2.1 has been exceeded",
            "WHOIS QUERY RATE LIMIT EXCEEDED",
            "Query rate exceeded, please try again later",
            "Look up quota exceeded.",
            "request limit exceeded for 192.0.2.1",
            "%% Too many requests...",
            "Too many simultaneous connections from your host",
            "Daily query limit of 100 reached for 192.0.2.1",
            "Maximum query limit reached",
            "Usted ha excedido el limite de consultas permitidas",
            "Se ha superado el número máximo de consultas",
            "Vous avez dépassé le nombre de requêtes autorisées",
            "Trop de requêtes, réessayez plus tard",
            "Limite de consultas excedido",
            "Hai superato il limite di richieste",
            "Zu viele Anfragen von Ihrer IP-Adresse",
            "Das Limit der Abfragen wurde überschritten",
            "Maximaal aantal verzoeken overschreden",
            "Przekroczono limit zapytań",
            "Překročen limit dotazů",
            "Túl sok lekérdezés",
            "Çok fazla sorgu",
            "Sorgu limitiniz aşıldı",
            "Превышено количество запросов",
            "Слишком много запросов, повторите позже",
            "查询过于频繁，请稍后再试",
            "您的查询次数已超过限制",
            "アクセス回数の制限を超えました",
            "조회 횟수를 초과하였습니다",
            "Quá nhiều yêu cầu",
            "För många förfrågningar",
            "Your IP has been temporarily blocked",
            "Query limit violation",
            "You are over your quota",
            "No more lookups allowed today",
            "429 Too Many Requests",
            "Error 429",
            "You've reached your lookup limit",
            "Your request was throttled",
            "Query throttled, slow down",
            "Client has sent too many queries and is being limited",
            "Please reduce your query rate",
            "Too many lookups",
            "Query allowance used up",
            "Abuse detected from 192.0.2.1",
            "Excess number of queries",
            "Maximum concurrent connections limit exceeded",
            "You are querying too quickly",
            "Your query rate is too high",
            "Sorry, too many hits from your address today",
            "Only 1 query per second allowed",
            "One query every 10 seconds, please",
            "Your quota of 50 lookups a day has run out",
            "Rate limiting in effect",
            "Rate limiting is active for your address",
            "Lookups from your address have been suspended for an hour",
            "Your address is temporarily listed for sending too many queries",
            "Client over quota",
            "ERROR: Rate-limited",
            "You've been rate limited.",
            "Requests from this IP are being throttled.",
            "Exceeded max queries",
            "Exceeding limit of queries",
            "Whois limit reached for today",
            "Too many queries in a short time",
            "Quota: 0 left",
            "Flood protection: come back in a while",
            "Please wait between lookups",
            "Please wait a few minutes before trying again",
            "Connection rejected: too busy",
            "Number of queries limited to 100 per hour, please try later",
            "You have used all your queries for this hour",
            "Your client is making requests at too high a rate",
            "Query frequency exceeded",
            "You have been temporarily denied access",
            "IP limit exceeded",
            "Hourly limit reached",
            "No queries left",
            "You have 0 queries remaining",
        ],
    );
}

#[test]
fn doors_shut_are_heard_in_the_words_of_many_registries_and_languages() {
    check(
        |verdict| verdict == Verdict::Blocked,
        &[
            "Access from your network is prohibited",
            "Your IP address is not authorized to use this service",
            "Access is restricted to registered clients",
            "You do not have permission to query this server",
            "Zugriff verweigert",
            "Accès refusé",
            "Acceso denegado",
            "Acesso negado",
            "Доступ запрещен",
            "禁止访问",
            "アクセスが拒否されました",
            "Permission denied.",
            "Not authorized.",
            "Unauthorized",
            "Forbidden",
            "Your IP has been blocked.",
            "Host banned",
            "Client not whitelisted",
            "Your IP is not in our whitelist",
            "Connections from your country are not accepted",
            "403 Forbidden",
            "IP blocked",
            "You are banned",
            "This service is available to accredited registrars only",
            "Query not allowed from 192.0.2.1",
            "You have been banned for abuse.",
            "BLACKLISTED: you have exceeded the query limit for your network and have been blacklisted.",
        ],
    );
}

#[test]
fn outages_are_heard_in_many_words() {
    check(
        |verdict| verdict == Verdict::Unavailable,
        &[
            "WHOIS service is under maintenance",
            "The registry system is offline for maintenance",
            "Database error",
            "System error, please try again",
            "Unable to connect to database",
            "Error connecting to the database",
            "Backend timeout",
            "Whois server is not available",
            "We are sorry, the whois service is currently unavailable",
            "Temporary failure, try again",
            "Database connection failed",
            "java.lang.NullPointerException",
            "Fatal error: Uncaught exception",
            "An error occurred while processing your request",
            "Request failed",
            "Query timed out",
            "The database is being updated, try again later",
            "Whois is temporarily disabled",
            "Out of memory",
            "502 Bad Gateway",
            "No server available",
        ],
    );
}

#[test]
fn the_end_of_a_service_is_heard_in_many_words() {
    check(
        |verdict| verdict == Verdict::Retired,
        &[
            "This service is no longer available",
            "Whois service for .test was shut down on 2025-01-28",
            "The registry no longer offers WHOIS",
            "RDAP only",
            "WHOIS has been replaced by RDAP",
            "This WHOIS server is obsolete",
            "Unsupported TLD",
            "No whois service for this TLD",
            "This server does not serve .test",
            "Not authoritative for this TLD",
            "Port 43 whois has been sunset, please use https://rdap.test/",
            "This TLD has moved to RDAP",
            "This service has been shut down",
        ],
    );
}

#[test]
fn what_is_said_of_a_name_is_said_of_no_service() {
    let none_of_us = |verdict| {
        !matches!(
            verdict,
            Verdict::Refused { .. } | Verdict::Blocked | Verdict::Retired | Verdict::Unavailable
        )
    };
    check(
        none_of_us,
        &[
            "This domain name is restricted",
            "The domain a.test is not available for registration",
            "a.test is available for registration",
            "Registration of this name is restricted",
            "Domain a.test is unavailable",
            "No match for domain \"too-many-requests.test\".",
            "Domain name contains too many labels",
            "Query too short",
            "The name is too long",
            "Invalid query: limit",
            "The registration of this domain is not permitted by policy",
            "The whois database is updated every 24 hours.",
            "For more information on whois status codes, visit https://icann.org/epp",
            "This query returned 0 objects.",
            "The registry does not guarantee the accuracy of the data.",
            "Maintained by the registry of .test",
            "Last update of the database: 2026-01-01",
        ],
    );
}
