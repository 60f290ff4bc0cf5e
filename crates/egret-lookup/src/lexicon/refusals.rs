//! How services say that we ask too much, or are not let in.

/// Spoken of what may happen, or of what nobody ought to do: no refusal. `too may` is a misspelling.
pub(super) const HYPOTHETICAL: &[&str] = &[
    r"(?:^|[^o] )may\b",
    r"\b(?:might|shall|would|agree[sd]?|must|should|prohibit\w*|reserves?|can take|in order to)\b",
    r"^\W*(?:if|unless|when)\b|[^\W] (?:if|unless)\b",
    r"\bwill (?:result|lead|cause|be (?:limited|blocked|denied|restricted|throttled|terminated|subject|rejected|banned))\b",
    r"\b(?:automated|high[- ]volume|bulk|mass|data mining|robots?|scripts?|commercial|purposes?|redistribut\w*|reproduc\w*)\b",
    r"\b(?:do not|don't|not to|never) (?:abuse|exceed|use|send|make|query|attempt|try)\b|\bget (?:blocked|banned)\b",
    r"\bexcessive\b.*\b(?:is|are) (?:not|forbidden|blocked|strictly)\b",
];

/// An order to wait is a refusal, although it says `must`; so is what is prohibited to us alone.
pub(super) const ORDERED: &[&str] = &[
    r"\b(?:must|should|have to) (?:now |please )?(?:wait|slow)\b",
    r"\byour (?:\w+ )?(?:US)\b.*\b(?:is|are|been|was) (?:\w+ )?prohibited\b",
];

/// We asked too much.
pub(super) const LIMITED: &[&str] = &[
    r"\bMEASURE\b.*\bPASSED\b|\bPASSED\b.*\bMEASURE\b",
    r"\b(?:MEASURE|CALL)\b.*\b(?:is|are|was|has|have|been) over\b|\bover (?:the |your |its |our )?(?:\w+ )?(?:limit|quota|rate)\b|\boverlimit\b",
    r"\b(?:too|so) m[any]{2,4}\b.*\b(?:CALL|access\w*)\b|\btoo (?:much|frequent\w*)\b.*\b(?:CALL|access\w*)\b",
    r"\b(?:CALL|access\w*|ask\w*)\b.*\btoo (?:many|much|frequent\w*|fast|quick\w*|often|soon|rapid\w*|hard)\b",
    r"\btoo (?:fast|quickly|often|frequently|rapidly|soon)\W*$",
    r"\b(?:interval|frequency|gap|pause|delay|period|rate|volume)\b.*\btoo (?:short|small|brief|high|low|big|large)\b|\btoo (?:high|big|large) (?:a )?(?:rate|volume|number|frequency)\b",
    r"\b(?:reduce|lower|decrease|limit) (?:your|the) (?:\w+ ){0,2}(?:rate|frequency|speed|number|volume|CALL)\b",
    r"\brate[- ]?limit\w* (?:is |was |has been |now )*(?:in effect|active|activated|triggered|engaged|on)\b",
    r"\bmore than \w+ CALL\b.*\b(?:today|already|received|sent|made|from)\b|\b(?:made|sent|used|performed|issued) (?:up )?(?:all|more than|over)\b.*\bCALL\b",
    r"\bexcess(?:ive)?\b.*\b(?:CALL|use|usage|traffic|access\w*|activity|number)\b|\b(?:usage|traffic|activity) (?:is |was )?excessive\b",
    r"\b(?:abus\w+|abnormal \w+|unusual \w+|suspicious \w+|flood\w*|overuse|overload) (?:has been |have been |was |is )?(?:detected|noticed|observed)\b",
    r"\b(?:been|being|now|you are|you were|you're|your \w+(?: \w+)? (?:is|was)|are currently) (?:rate[- ]?limited|throttled|limited|slowed)\b",
    r"\b(?:CALL|ips?|client|address) (?:is |are |was |were )?(?:temporarily )?(?:rate[- ]?limited|throttled)\W*$",
    r"^(?:\W|error|err|status|sorry|\d)*(?:(?:CALL|rate|ip|whois|daily|hourly) ?-?)?(?:limit(?:ed|ing|ation)?|throttled|throttling|quota)\W*$",
    r"\bslow(?:ing)? (?:it )?down\b|\bgrace period\b|\baccess control limit\b|\blimit violation\b",
    r"\b(?:out of|without|no) (?:\w+ )?(?:quota|credits?|tokens)\b|\bquota (?:is |was |has )?(?:been )?(?:full|empty|finished|spent|gone|zero)\b",
    r"\b(?:no (?:more |remaining |further |additional )*|0 )CALL (?:are |is )?(?:allowed|left|remaining|possible|permitted|accepted)\b|\b(?:CALL|quota|limit)\b.*\b(?:(?:remaining|left)\W+0|0 (?:remaining|left))\b",
    r"\bCALL (?:(?:is|was|were|has been|have been) )?(?:temporarily )?(?:denied|refused|rejected|dropped|ignored|throttled|limited)\b",
    r"\bat least \w+[- ]?(?:second|minute)s?\b|\bonly \w+ CALL (?:is |are )?(?:allowed|permitted|possible|per|every|in|within)\b",
    r"\b(?:only|just|maximum|max)\b.*\b(?:once|one|1)\b.*\b(?:per|every|each|a|in)\b.*\b(?:second|minute|hour|day)s?\b|^\W*(?:one|1) CALL (?:per|every|each|in)\b",
    r"\berror\W*(?:201|306)\b|\b(?:error|err|code|status|http(?:/\d\.\d)?)\W*429\b|^\W*429\b",
    r"\breplenish|\bcool(?:ing)?[- ]?(?:down|off)\b|\bback(?:ing)? off\b",
    r"\b(?:daily|hourly|monthly|per[- ]day|per[- ]hour|per[- ]ip|per[- ]minute) (?:\w+ )?(?:limit|quota|allowance|maximum)(?: for \w+ \w+)?(?: is|:)? (?:\d+|used|spent|over|full)",
    // German, Dutch, the Nordic languages.
    r"\bzu (?:viele|h.{1,2}ufige?|oft|schnell\w*)\b|\b(?:limit|kontingent|quote|quota|maximal\w*|anzahl)\b.*(?:berschritten|erreicht|ersch.{1,2}pft)",
    r"\bte (?:veel|vaak|snel)\b|\b(?:limiet|maximum|quotum|aantal)\b.*(?:overschreden|bereikt|verbruikt)",
    r"f.{1,2}r (?:m.{1,2}nge?a|mange|ofte|ofta)\b|(?:gr.{1,2}ns|grense|limit)\w*.*(?:verskrid|overskred|n.{1,2}dd)|liian (?:mon|palj|use|tihe)|raja\w* .*ylit",
    // French, Spanish, Portuguese, Italian, Romanian.
    r"\btrop (?:de |d')?(?:nombreuses )?(?:requ|connex|demandes|interrog|consult|acc)|\b(?:quota|limite|nombre)\b.*(?:d.{1,2}pass|attein|.puis)|(?:d.{1,2}pass|attein|.puis)\w*.*\b(?:quota|limite|nombre)\b",
    r"\bdemasiad[ao]s\b|\bmuitas (?:consultas|requisi|solicita|conex)|\btroppe (?:richieste|interrogazioni|connessioni|query)|\bprea multe\b",
    r"\b(?:l[ií]mite?|cuota|cupo|cota|quota|m[áa]ximo|n[úu]mero)\b.*(?:exced|super[aoó]|alcan[çz]|ating|ultrapass|agotad|esgotad|raggiunt|esaurit|dep[ăa][șsş])",
    r"(?:exced|super[aoó]|alcan[çz]|ating|ultrapass|agotad|esgotad|raggiunt|esaurit|dep[ăa][șsş])\w*.*\b(?:l[ií]mit\w*|cuota|cupo|cota|quota|m[áa]ximo|n[úu]mero)\b",
    // The Slavic languages, Hungarian, Turkish, Greek.
    r"превыш|перевищ|надвиш|исчерпан|вичерпан|(?:слишком|твърде|превише) (?:много|част)|(?:забагато|занадто багато|надто багато)",
    r"\b(?:zbyt (?:wiele|cz|du)|za (?:du[żz]o|cz[ęe]sto))|przekrocz|wyczerpan|p[řr][íi]li[šs] mno|p?[řr]ekro[čc]en|\bpreve[čc]\b|\bprevi[šs]e\b|prekora[čc]",
    r"\bt[úu]l sok\b|t[úu]ll[ée]p|[çc]ok fazla|a[şs][ıi]ld[ıi]|a[şs]t[ıi]n[ıi]z|υπ[έε]ρβαση|πολλ[έά]\w* (?:αιτ|ερωτ)",
    // Chinese, Japanese, Korean, Vietnamese, Indonesian, Arabic, Hebrew, Persian.
    r"过于频繁|過於頻繁|太频繁|太頻繁|频率(?:过|太)|頻率(?:過|太)|(?:超过|超過|超出|达到|達到).*(?:限制|限額|限额|次数|次數|上限|频率)|(?:请求|請求|查询|查詢)(?:次数|次數|数|量)?(?:过多|過多|太多)",
    r"(?:制限|上限|回数).*(?:超え|超過|達し)|(?:要求|検索|アクセス|リクエスト|問い?合わ?せ).*(?:多すぎ|集中|過多)|초과|너무 (?:많|자주)|과도한",
    r"qu[áa] nhi[ềe]u|v[ưu][ợo]t qu[áa]|\bterlalu (?:banyak|sering)\b|\bmelebihi\b|تجاوز|كثيرة جدا|חריגה|יותר מדי|בیش از حد",
];

/// We are asked to come again, whatever the reason.
pub(super) const LATER: &[&str] = &[
    r"\b(?:wait|try|retry|come back|reconnect|repeat|resubmit|resend)\b.*\b(?:again|later|after|before|in|for|until)\b",
    r"\bplease (?:do )?wait\b|\b(?:wait|sleep) \d|\bretry[- ]after\b|\b(?:SERVICE) (?:is |are )?(?:\w+ )?(?:busy|overload\w*)\b",
    r"\bbitte (?:sp.{1,2}ter|warten)|\bsp.{1,2}ter (?:erneut|noch ?mal|wieder)|\br.{1,2}essayer\b|\bplus tard\b|\bm[áa]s tarde\b|\bmais tarde\b|\bpi[ùu] tardi\b|\bintente (?:de nuevo|nuevamente)|\btente novamente\b|\briprova",
    r"(?:попробуйте|повторите|спробуйте)\b.*(?:позже|позднее|пізніше|через)|\bsp[óo]buj.*p[óo][źz]niej|\bpozd[ěe]ji\b|\blater opnieuw\b|\bopnieuw\b|\bdaha sonra\b|\bk[ée]s[őo]bb\b",
    r"稍后|稍後|しばらく|時間をおいて|後ほど|잠시 후|나중에|l[ầa]n n[ữu]a sau|\bcoba lagi\b",
];

/// We are not let in.
pub(super) const DENIED: &[&str] = &[
    r"\b(?:CALL|access|permission|service|connecting|querying)\b.*\bSHUT\b",
    r"\byou(?:r (?:\w+ )?\w+)? (?:are|is|have been|has been|were|was|have)\b.*\b(?:SHUT|(?:not|un)[- ]?authori[sz]ed|blacklisted|restricted)\b",
    r"\bUS\b.*\b(?:blocked|banned|denied|blacklisted|(?:not|un)[- ]?authori[sz]ed|(?:black|block|deny)[- ]?listed)\b",
    r"\bUS\b.*\b(?:on|in) (?:the|our|a|an)\b.*\b(?:block|black|deny|ban)(?:ed)?[- ]?list\b|\b(?:block|black)[- ]?listed\b",
    r"\b(?:not|n't) (?:\w+ ){0,3}(?:white|allow)[- ]?list|\bonly (?:\w+ )?(?:white|allow)[- ]?listed\b",
    r"\b(?:unauthori[sz]ed|forbidden|denied|blocked|banned) (?:CALL|ips?|address|host|client|access|user)\b|\b(?:been|temporarily) restricted\b|\baccess (?:to .*)?(?:is|was) restricted\b",
    r"\b(?:service|access|server|whois)\b.*\b(?:is|are) (?:restricted|limited|only \w+) (?:to|for)\b.*\b(?:registrars|members|customers|partners|subscribers|clients)\b",
    r"\b(?:service|access|server|whois)\b.*\b(?:is|are) (?:available|accessible|open)\b.*\b(?:registrars|members|customers|partners|subscribers|clients) only\b",
    r"\b(?:not|n't) have (?:\w+ )?(?:permission|access|authori[sz]ation|the right)\b|\b(?:insufficient|no|lack\w*|without|missing) (?:\w+ )?(?:permissions?|privileges?|authori[sz]ation)\b",
    r"^\W*(?:error\W*)?(?:\d+ )?(?:access |permission )?(?:denied|forbidden|refused|banned|(?:not |un)authori[sz]ed|blocked by \w+)\W*$|\b(?:US)\b.*\bprohibited\b",
    r"\bzugriff\b.*(?:verweigert|gesperrt|blockiert)|\bacc[èe]s\b.*(?:refus|interdit|bloqu)|\bacc?es[so]o?\b.*(?:denegad|negad|negat|bloquead|prohibid|proibid|bloccat|vietat)",
    r"доступ\w*.*(?:запрещ|ограничен|заблокирован|закрыт|заборонен|обмежен)|\bodmowa dost|\bdost[ęe]p\w* .*(?:zablok|zabron)|p[řr][íi]stup .*(?:ode[pm]|zak[áa]z)|\btoegang\b.*(?:geweigerd|geblokkeerd)|eri[şs]im.*engel",
    r"(?:拒绝|禁止)(?:访问|连接|查询)|(?:拒絕|禁止)(?:存取|連線|查詢)|(?:访问|訪問).*被?(?:拒绝|拒絕|禁止)|アクセス.*(?:拒否|制限|禁止)|접(?:근|속).*(?:거부|차단|제한)|تم حظر|חסומ|חסום",
];

/// It says itself that this is for good.
pub(super) const FOREVER: &[&str] = &[
    r"\bpermanent(?:ly)?\b|\bindefinite|\bfor ?ever\b|\b(?:black|block|deny)[- ]?list|\bbanned for abuse\b|\bfor good\b|dauerhaft|d[ée]finitive|permanente|навсегда|永久",
];

/// It passes, or may be asked again.
pub(super) const TIMED: &[&str] = &[
    r"\btemporar|\bagain\b|\bretry|\blater\b|\bwait\b|\bdaily\b|\btoday\b|\bhour|\bminute|\bsecond|\bfor now\b|vor.{1,2}bergehend|provisoir|временно|tymczasow|暂时|一時",
];

/// It has to do with how much was asked.
pub(super) const MEASURED: &[&str] = &[
    r"\bexcess|\btoo (?:many|much|may|fast|quick|often|frequent)|\blimit|\bquota|\brate\b|\bexceed|\bconcurrent|\babuse detected",
];

/// What was sent is less than the whole, spoken next to a limit.
pub(super) const REDUCED: &[&str] = &[
    r"\b(?:reduced|partial|incomplete|truncated|abbreviated|shortened|minimal) (?:\w+ )?(?:information|data|output|answer|response|record|details|results?)\b",
    r"\b(?:information|data|output|answer|response|record|details|results?|objects?|contacts?)\b.*\b(?:reduced|truncated|suppressed|withheld|omitted|left out|not shown)\b",
];
