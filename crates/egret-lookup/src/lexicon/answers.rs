//! How services say that there is nothing, that nobody can have it, or that they cannot tell.

/// Spoken of what is to come: nobody is down or gone yet.
pub(super) const ANNOUNCED: &[&str] = &[
    r"\b(?:will|going to|(?:is|are|about) to be|scheduled (?:to|for)|planned|plan(?:s)? to|intend\w*|shall|may|might|if|when|could be|can be)\b",
];

/// It passes: nothing is gone for good.
pub(super) const PASSING: &[&str] =
    &[r"\btemporar|\bmaint[aei]+n[ae]nce\b|\bagain\b|\blater\b|\bfor now\b|\bat (?:the|this) moment\b"];

/// This service, or this zone at it, is gone.
pub(super) const GONE: &[&str] = &[
    r"\b(?:tlds?|zones?|extensions?|top[- ]level[- ]domains?|suffix(?:es)?)\b.*\b(?:not|no longer|isn't|aren't) (?:\w+ )?(?:supported|served|available|handled|operated|hosted|managed)\b",
    r"\b(?:unsupported|unserved|retired) (?:tld|zone|extension|top[- ]level[- ]domain|suffix)\b",
    r"\b(?:SERVICE|interface)\b.*\b(?:discontinued|decommissioned|retired|sunset(?:ted)?|switched off|turned off|ceased|withdrawn|phased out|obsolete|(?:been|was|were|is) (?:\w+ )?shut ?down|permanently (?:\w+ )?(?:closed|disabled|unavailable|shut ?down))\b",
    r"\b(?:SERVICE|interface)\b.*\b(?:been|was|were|is|are) (?:\w+ )?(?:terminated|superseded|replaced by|abolished|removed|ended)\b",
    r"\b(?:SERVICE|interface)\b.*\bno longer (?:be )?(?:available|supported|offered|provided|operat\w*|maintained|in (?:use|service|operation)|active|respond\w*|accept\w*|exist\w*|answer\w*|accessible|running)\b",
    r"\bno longer (?:be )?(?:provid\w*|offer\w*|support\w*|operat\w*|maintain\w*|answer\w*|run\w*)\b.*\b(?:whois|port[- ]?43)\b",
    r"\bno (?:whois|port[- ]?43) (?:service|server)\b|\bnot (?:the )?authoritative (?:\w+ )?for (?:\W|this tld|the tld|this zone|this extension)",
    r"\b(?:SERVICE)\b.*\b(?:not|n't|no longer) (?:serve|host|support|handle|manage|operate|carry)s? (?:the |this )?(?:[.*]|tld|zone|extension|top[- ]level)",
    r"\bdiscontinued\b.*\b(?:whois|port[- ]?43)\b|\bend of (?:life|service)\b|\b(?:dienst|service|servicio|servizio|servi[çc]o)\b.*(?:eingestellt|abgeschaltet|supprim|arr[êe]t[ée]|descontinuad|dado de baja|desativad|dismess)",
    r"(?:сервис|служба|услуга|сервер)\b.*(?:отключ[её]н|прекращ|закрыт)|(?:服务|服務)已?(?:停止|终止|終止|关闭|關閉|下线)|サービス.*終了|서비스.*종료",
];

/// Ask another way. Many add that to an answer, so it counts only if nothing else is said.
pub(super) const ELSEWHERE: &[&str] = &[
    r"\b(?:use|using|via|through|query|try|switch|migrate\w*|moved?|refer|consult)\b.*\brdap\b",
    r"\brdap\b.*\b(?:instead|only|replace[sd]?|successor)\b",
    r"\b(?:SERVICE)\b.*\b(?:deprecated|has moved|have moved|was moved|replaced with)\b",
];

/// Nobody is answered: down, at work, broken inside.
pub(super) const DOWN: &[&str] = &[
    r"\b(?:under|undergo\w*|for|in|due to|because of|scheduled|planned|routine|emergency|urgent|ongoing|perform\w*|SERVICE) (?:\w+ )?maint[aei]+n[ae]nce\b",
    r"^\W*maint[aei]+n[ae]nce[.!]*$|\bmaint[aei]+n[ae]nce (?:mode|window|works?|in progress|ongoing|is)\b|\bunder (?:construction|repair)\b",
    r"\b(?:SERVICE)\b.*\b(?:is|are|was|were|'s|currently|temporarily|momentarily|seems?|appears?|went|gone)\b.*\b(?:down|unavailable|offline|off[- ]line|unreachable|out of (?:service|order)|inaccessible|broken|disabled|closed|interrupted)\b",
    r"\b(?:SERVICE)\b.*\b(?:not|n't) (?:\w+ )?(?:available|reachable|responding|operational|accessible|running|working|ready|respond|reached)\b",
    r"^\W*(?:error\W*)?(?:\d+ )?(?:SERVICE|gateway)(?: (?:temporarily|currently))? (?:unavailable|down|offline|time-?out|timed out|failure|error|problem)\W*$",
    r"\btemporar(?:y|ily) (?:\w+ )?(?:unavailable|not available|out of (?:service|order)|offline|down|failure|errors?|problems?|unable|disabled|interrupted|outage|inaccessible)\b|\btemporarily (?:can ?not|not)\b|\b(?:can ?not|could not|can) temporarily (?:not )?be\b",
    r"\binternal (?:\w+ )?(?:error|failure|problem|exception)\b|\b(?:database|server|system|sql|db|back[- ]?end|software|fatal|unexpected|unknown) (?:\w+ )?(?:error|failure|exception|fault)\b",
    r"\b(?:could not|cannot|can not|can't|couldn't|unable to|failed to|failure to|error|fail(?:ed|ure)?) (?:\w+ ){0,3}(?:connect\w*|reach\w*|contact\w*|access\w*|open\w*|communicat\w*)\b.*\b(?:SERVICE|sql)\b",
    r"\b(?:connection|access|link) to (?:\w+ ){0,3}(?:SERVICE)\b.*\b(?:failed|lost|refused|timed out|broken)\b|\b(?:database|db|sql|ldap|back[- ]?end)\b.*\b(?:connection|connect)\b.*\b(?:failed|error|refused|lost|timed out)\b",
    r"\b(?:technical|server|system|database|network) (?:difficult\w+|problems?|issues?|outage)\b|\bexperiencing (?:\w+ )?(?:difficult\w+|problems?|issues|an? outage)\b|\b(?:our|the) (?:\w+ )?(?:servers?|systems?) (?:have|has) (?:\w+ )?(?:crashed|failed)\b",
    r"\b(?:CALL) (?:could not|cannot|can not|can't) be (?:\w+ )?(?:processed|answered|completed|served|performed|handled)\b|\b(?:unable|failed) to (?:process|answer|complete|serve|handle) (?:\w+ )?(?:CALL)\b",
    r"\berrors? (?:\w+ )?(?:occurr?ed|while|during)\b|^\W*(?:error\W*)?(?:CALL )?(?:failed|time-?out|timed out|failure)\W*$|\bout of memory\b",
    r"\b(?:SERVICE)\b.*\bbeing (?:updated|upgraded|rebuilt|reloaded|migrated|restarted|restored|moved)\b|\bno (?:\w+ )?(?:servers?|back[- ]?ends?|workers?) (?:is |are )?available\b",
    r"\bsqlstate\b|exception\b|\btraceback\b|\bstack ?trace\b|\bora-\d|\bsegmentation fault\b",
    r"\b(?:bad gateway|gateway time-?out|query timed out|database timeout)\b|\berror\W*100\b",
    // German, Dutch, French, Spanish, Portuguese, Italian.
    r"\bwartung|\bnicht (?:erreichbar|betriebsbereit)\b|\bvor.{1,2}bergehend nicht\b|\bonderhoud\b|\bstoring\b|\bbuiten (?:gebruik|werking)\b|\bunderh[åa]ll\b|\bvedligehold|\bhuolto",
    r"\b(?:en|in|em) (?:maintenance|mantenimiento|manuten)|\bmomentan[ée]ment (?:in|non|hors)|\btemporairement (?:in|non|hors)|\bhors service\b|\bfuera de (?:servicio|l[íi]nea)\b|\bfora d[oe] (?:ar|servi)|\bfuori servizio\b",
    r"\b(?:servicio|servi[çc]o|servizio|service|sistema|syst[èe]me|base de (?:datos|dados|donn))\b.*(?:no (?:est[áa] )?dispon|n[ãa]o (?:est[áa] )?dispon|non (?:è )?dispon|indispon|inaccess|indisponible)",
    // Russian, Polish, Czech, Hungarian, Turkish; Chinese, Japanese, Korean.
    r"временно (?:не|нед)|техническ\w*.{0,20}(?:работ|обслуж|причин|неполад)|недоступен|внутренняя ошибка|ошибка (?:сервера|базы)|тимчасово недоступ|przerwa techniczna|prace (?:techniczne|konserwac)|[úu]dr[žz]b|karbantart|bak[ıi]m",
    r"维护|維護|系统(?:错误|繁忙)|系統(?:錯誤|忙碌)|服务(?:暂时)?不可用|メンテナンス|保守|サービス.*停止|障害|점검|장애|bảo trì|pemeliharaan|صيانة|תחזוקה",
];

/// There is no such object.
pub(super) const NOT_FOUND: &[&str] = &[
    r"^\W*(?:no match\w*|not found|nothing found|no such|no found|none found|no data)\b|\bno match\b",
    r"^\W*(?:\d+ )?(?:available|free|(?:not |un)registered|unallocated|unassigned)(?: for regist\w+)?\W*$|^\W*\d+ available\b",
    r"\b(?:not|n't|never) (?:been )?(?:found|registered|exist\w*|delegated|assigned|allocated|in use|available in|in (?:our|the) \w*database)\b",
    r"\b(?:not|n't) (?:be )?(?:find|found)\b|\b(?:not|n't) have any (?:data|record|information|match)|\breturned (?:0|no) (?:object|result|record)",
    r"\bno (?:match\w*|objects?|entry|entries|records?|data|information|results?|domains?)(?: \w+){0,3} (?:found|exists?|match\w*|available)\b",
    r"\b(?:is|are|appears to be|currently|still|status:?) (?:free|available)(?: for (?:\w+ ){0,2}(?:regist|purchas|sale|order|appl|delegat|new)\w*| to (?:\w+ ){0,2}(?:regist|purchas|buy|order|be|appl)\w*|\W*$)",
    r"\bno existe\b|\bno se encuentra|\bno se encontr|\bno encontrad|\bn[ãa]o (?:foi )?encontrad|\bnicht (?:gefunden|registriert|vergeben)|\bnon trouv|\bintrouvable|\baucun|не (?:найден|зарегистрир)",
];

/// There is none, and nobody can have it.
pub(super) const RESERVED: &[&str] = &[
    r"\b(?:name|domain|string|label|object|tld)\b.*\b(?:reserved|blocked|restricted from|not registrable|not registerable)\b|\b(?:reserved|restricted) (?:domain|name|list)\b",
    r"^\W*(?:\d+ )?(?:this )?(?:domain )?(?:name )?(?:is )?(?:reserved|blocked|restricted|prohibited|forbidden|unassignable|unavailable|not available)\W*$",
    r"\b(?:can ?not|can't|may not) be registered\b|\bnot available for regist|\breserved (?:name|domain|by|for)\b|\bprohibited (?:name|string|domain)\b",
];

/// The question is not understood.
pub(super) const INVALID: &[&str] = &[
    r"\b(?:invalid|illegal|malformed|incorrect|unsupported|improper|unrecogni[sz]ed|bad|wrong) (?:\w+ ){0,2}(?:CALL|domain|input|syntax|names?|parameters?|tld|search|characters?|format|string|pattern|object|option|command|key|argument|ip|address|label|level)\b",
    r"\b(?:syntax|usage) error\b|^\W*\d* ?invalid\b|\bno (?:search key|valid)\b|\bunknown (?:tld|query|command|option|zone|domain name)\b",
    r"\b(?:not|isn't) (?:a )?(?:valid|supported|handled|served)\b|\b(?:not|n't) (?:support|serve|handle|conform)",
    r"\b(?:is|are|contains?) (?:invalid|illegal|malformed)\b",
];
