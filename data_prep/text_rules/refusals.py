"""Find answers that only refuse, such as "As an AI language model, I cannot ..."."""

import re

MAX_REFUSAL_CHARACTERS = 600  # a longer answer says more than no

_APOLOGY = r"(?:(?:i(?:['’]?m| am) (?:(?:really|very|so|truly) )?)?sorry|(?:i|my) apolog\w+|unfortunately|regrettably)"
_AS_AN_AI = (
    r"(?:as|being|since i am|since i['’]?m|i am|i['’]?m) (?:just |only |merely )?an? (?:\w+ )?(?:large )?"
    r"(?:ai|a\.i\.|artificial intelligence|language model|llm|chat ?bot|virtual assistant|assistant)[\w ,\-()]{0,60}?"
)
_CANNOT = (
    r"i(?:['’]?m| am)? (?:currently |simply |just |still |really )?(?:cannot|can['’]?t|can not|unable to|not able to"
    r"|not capable of|not programmed to|not allowed to|not permitted to|won['’]?t|will not|must decline|have to decline"
    r"|don['’]?t have (?:the (?:ability|capability)|access|information|any information|real.?time)"
    r"|do not have (?:the (?:ability|capability)|access|information|any information|real.?time))"
)
_REFUSAL = re.compile(
    rf"\W*(?:{_APOLOGY}[,.!]*\s+(?:but )?(?:{_AS_AN_AI}[, ]+(?:and )?)?(?:therefore |so )?{_CANNOT}\b"
    rf"|{_AS_AN_AI}[, ]+(?:and )?(?:therefore |so )?{_CANNOT}\b"
    rf"|{_AS_AN_AI}[, ]+(?:and )?i (?:do not|don['’]?t|have no|lack)\b"
    r"|i (?:cannot|can['’]?t|can not|am unable to|am not able to) (?:assist|help|fulfill|comply|provide|generate|create"
    r"|complete|engage|answer) (?:you )?(?:with |in )?(?:that|this|your|the|such|any)\b"
    r"|sorry, (?:but )?(?:this|the|that) (?:task|instruction|request)\b"
    r"|this (?:type of )?(?:instruction|task|request) (?:cannot|can['’]?t|can not) be"
    r" (?:completed|done|fulfilled|performed)"
    r"|(?:es tut mir leid|tut mir leid|entschuldigung|leider)[,.]? (?:aber )?(?:(?:\w+ )?(?:ich kann|kann ich)"
    r"|als (?:ein )?ki)\b[^.\n]{0,60}?\b(?:nicht|kein\w*)\b"
    r"|als (?:ein )?ki\b[\w-]*,? (?:\w+ )?(?:kann|habe|darf) ich [^.\n]{0,60}?\b(?:nicht|kein\w*)\b"
    r"|(?:je suis )?désolée?,? (?:mais )?je ne (?:peux|suis)|en tant qu['’](?:ia|intelligence)[\w ,’']{0,60} je ne"
    r"|(?:lo siento|lamento),? (?:pero )?(?:no puedo|como (?:modelo|ia))"
    r"|como (?:modelo|ia)[\w ,]{0,60} no (?:puedo|tengo)"
    r"|(?:mi dispiace|scusa),? (?:ma )?non posso|(?:desculpe|sinto muito|lamento),? (?:mas )?(?:eu )?não posso"
    r"|(?:извините|простите|к сожалению),? (?:но )?я не могу|как (?:языковая модель|ии)[\w ,]{0,40}я не"
    r"|申し訳(?:ありません|ございません)[^。\n]{0,40}(?:できません|いたしかねます|お答え)"
    r"|(?:很抱歉|抱歉|对不起)[，,]?\s*(?:但)?(?:我|作为)[^。\n]{0,30}(?:不能|无法|没有))",
    re.IGNORECASE,
)
MAY_BE_REFUSAL = re.compile(r"\W*[asiburtendjlmcизкпс申很抱对]", re.IGNORECASE)

# What follows is an answer after all, or a fact: the request had a mistake.
_ANSWERS_AFTER_ALL = re.compile(
    r"\b(?:however|nevertheless|nonetheless|that said|for example|in general|generally|typically|because|mistake"
    r"|but (?:i (?:can(?!['’]?t)|am able)|here|generally|in general|it|there|you|an?)|here (?:is|are|['’]s)"
    r"|i can (?:only|tell|give|provide|offer|help|suggest|explain|try|describe|share|certainly|assist|calculate)"
    r"|did you mean|do you mean|could you|can you|understand|if you (?:provide|give|share|tell|could|can)"
    r"|please (?:provide|specify|clarify|share|give|let|tell|be more|try)"
    r"|(?:more|additional|further) (?:information|details|context)|(?:previous|last|earlier) (?:response|answer)"
    r"|without (?:know\w*|more)|for all|(?:are|is) (?:both|not)|humans are)\b|\n\s*(?:\d+\.|[-*]) |```",
    re.IGNORECASE,
)
# Data for tool calls teaches to say that no tool fits.
_NO_TOOL = re.compile(
    r"\bcapabilit(?:y|ies) (?:are|is|allow|at)|\bfunctions?\b|\bfunctionality|external tasks?|\btools?\b", re.IGNORECASE
)
ASKS_FOR_REFUSAL = re.compile(
    r"refus|declin|apolog|reject|turn(?:ing)? down|excuse|cancel|say(?:ing)? no\b|sorry|e-?mail|letter|reply|respon[ds]"
    r"|customer|role.?play|dialog|conversation|tweet|message|\b(?:are|do|did|have|were|would) you\b|\byour(?:self)?\b"
    r"|you['’]re|\b(?:regret|cannot|can['’]?t|unable|not able|will not|won['’]?t)\b",  # the request has one itself
    re.IGNORECASE,
)


def is_refusal(answer: str) -> bool:
    """Whether an answer says only that it is none, such as "As an AI language model, I cannot ..."."""
    if len(answer) > MAX_REFUSAL_CHARACTERS:
        return False
    if not _REFUSAL.match(answer):
        return False
    return not _ANSWERS_AFTER_ALL.search(answer) and not _NO_TOOL.search(answer)
