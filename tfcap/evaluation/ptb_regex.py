"""Penn Treebank tokens by regular expression, for machines without Java.

Written from the behaviour of Stanford's PTBTokenizer 3.4.1 on captions, not from its grammar. At each position every
rule is tried and the longest match wins, the earlier rule where two are equally long: "st.louis" is a word,
"st." an abbreviation, "ab." a word and a full stop.
"""

from __future__ import annotations

import functools
import re
import unicodedata

# \w less the digits in a circle, superscripts, fractions and Roman numerals; with soft hyphens, combining marks and
# the hyphens U+2010 and U+2011, which count as letters too.
_L = (
    r"(?:[^\W\d_\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209c\u2150-\u218f\u2460-\u24ff]"
    r"|[\u00ad\u0300-\u036f\u2010\u2011]|&[aeiouAEIOU](?:acute|grave|uml);)"
)
_LD = rf"(?:{_L}|\d)"
_WORD = rf"{_L}{_LD}*(?:[.!?]{_L}{_LD}*)*"
_APOS = "['\u2019]"
_AUX = r"(?:'(?i:[msd]|re|ve|ll)(?![A-Za-z])|\u2019(?i:[msd]|re|ve|ll))"
_NOT = "[nN]['\u2019`\u2018\u201b][tT]"
_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
# With a full stop these are one token wherever they stand; the second list only when capitalised.
_ABBREVIATIONS = (
    r"ph\.d|al|cf|co|ct|dr|ft|ga|jr|ky|lt|md|mo|mr|ms|mt|ph|rd|rt|sq|sr|st|va|vs|vt|wm|adj|adm|adv|ala|apr|aug|"
    "ave|bhd|cie|col|cos|cpl|dak|dec|det|drs|ens|esq|est|etc|ext|feb|fla|fri|gen|gov|hon|inc|ind|jan|jos|jul|jun|"
    "kan|ltd|maj|mar|mfg|mme|mon|mrs|mtg|neb|nev|nov|oct|pfc|plc|pte|pty|pvt|rep|rev|sen|sep|seq|sfc|sgt|spc|ste|"
    "sys|tel|thu|tue|wed|wis|wyo|alex|ariz|assn|asst|atty|bldg|blvd|brig|bros|capt|cmdr|colo|conn|corp|dept|elec|"
    "govs|insp|intl|invt|kans|mich|minn|mlle|mont|msgr|natl|okla|penn|ppte|ppty|pres|prof|ptes|ptys|reps|sens|"
    "sept|supt|tenn|tues|univ|wisc|messrs|thurs|calif|assoc|comdr|lieut|profs"
)
_CAPITAL_ABBREVIATIONS = "Az|La|Pa|Ark|Del|Ill|Ore|Tex|Mass|Miss|Wash"
_BEFORE_NUMBER = "ca|no|op|pp|art|fig|nos|figs|prop"  # abbreviations only before a number
# Before these a letter and its full stop end a sentence; before any other word they are an initial.
_STARTERS = (
    r"A|About|According|Additionally|After|An|As|At|But|Earlier|He|Her|Here|However|If|In|It|Last|Many|More|Mr\.|"
    r"Ms\.|Now|Once|One|Other|Our|She|Since|So|Some|Such|That|The|Their|Then|There|These|They|This|We|What|When|"
    "While|Yet|You"
)

# Where a rule has a group, the group is the token and the rest of the match only proves the rule right.
_RULES = [
    re.compile(rule)
    for rule in (
        r"((?i:can))(?i:not)",
        r"((?i:gon|wan))(?i:na)",
        r"((?i:got))(?i:ta)",
        r"((?i:lem|gim))(?i:me)",
        rf"((?i:more?)){_APOS}[nN](?!{_L})",
        rf"({_APOS}[tT])(?i:is|was)",
        rf"([A-Za-z]+?){_NOT}",
        _NOT,
        rf"({_WORD}){_AUX}",
        _AUX,
        rf"{_APOS}[nN]{_APOS}|'[nN](?!{_L})|\u2019[nN]",
        rf"{_APOS}(?i:em|(?:till?|cause)(?!{_L}))",
        rf"{_APOS}[2-9]0s",
        rf"{_APOS}\d\d(?![^\s])",
        rf"(?:{_LD}+[-_])*[dDlLoO]{_APOS}{_LD}{_LD}+(?:[-_]{_LD}+)*",
        rf"[A-HJ-XZn]{_APOS}{_L}{_L}+",
        rf"{_L}+[aeiouyAEIOUY]{_APOS}[aeiouA-Z]{_L}*",
        rf"[dDlLjJ]{_APOS}(?={_L})",
        rf"[yY]{_APOS}(?={_L})",
        rf"(?i:s{_APOS}mores|li{_APOS}l|ma{_APOS}am|cap{_APOS}n|ev{_APOS}ry|nor{_APOS}easter|e{_APOS}er|c{_APOS}mon|"
        rf"ol{_APOS}|somethin{_APOS}|dunkin{_APOS})",
        r"</?[A-Za-z][A-Za-z0-9:.\-]*(?:[\s\u00a0][^<>]*)?/?>|<[!?][A-Za-z\-][^<>]*>",
        r"(?i:https?)://[^\s\"<>|()]+\.[^\s\"<>|(){}]*[^\s\"'<>|.!?(){},\-]",
        r"www\.(?:[^\s\"<>|.!?(){},]+\.)+[A-Za-z]{2,4}(?:/[^\s\"<>|()]*[^\s\"<>|.!?(){},\-])?",
        r"[A-Za-z0-9_][A-Za-z0-9_.+\-]*@[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*",
        r"@[A-Za-z_]+",
        rf"\#{_L}+",
        r"[cC]\+\+|[cCfF]\#",
        r"[A-Z]+(?:[+&][A-Z]+)+",
        r"[A-Z]*\$",
        _WORD,
        rf"{_LD}+(?:[-_]{_LD}+)*",
        rf"{_LD}(?:{_LD}|[.,])*(?:-(?:[A-Za-z](?:\.[A-Za-z])+\.|{_LD}+))+",
        rf"((?:{_WORD}|{_LD}+(?:-{_LD}+)*)\.)[,;:]",
        rf"{_SLASHED}(?:\\?/{_SLASHED}){{1,2}}",
        r"\d{1,4}[-\u00a0]\d{1,4}/\d{1,4}",
        r"[-+]?(?:\d+(?:[.:,]\d+)*|(?:[.:,]\d+)+)",
        r"[A-Za-z](?:\.[A-Za-z])*\.",
        rf"(?i:{_ABBREVIATIONS})\.",
        rf"(?:{_CAPITAL_ABBREVIATIONS}|{_CAPITAL_ABBREVIATIONS.upper()})\.",
        rf"(?i:{_BEFORE_NUMBER})\.(?=\s?\d)",
        r"[<>]?[:;=][\-o*']?[()DPdpO\\{@|\[\]](?![A-Za-z0-9])",
        r"&\#\d+;",
        r"[!?]+",
        r"-+|'+|`+|\.{3,}",
        r"\*+|_+|\#+|@+|<<|>>|[\-^x=~<>']_[\-^x=~<>']",
        r".",
    )
]
_ENTITIES = {
    "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&nbsp;": " ", "&mdash;": "\u2014",
    "&ndash;": "\u2013",
}  # fmt: skip
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_SINGLE = _BRACKETS | {
    "\u00bd": "1/2", "\u00bc": "1/4", "\u00be": "3/4", "\u2153": "1/3", "\u2154": "2/3", "\u00a2": "cents",
    "\u00a3": "#", "\u00a4": "$", "\u20a0": "$", "\u20ac": "$",
}  # fmt: skip
# Quotation marks, dashes and the ellipsis, which Java turns into the ASCII punctuation that is dropped later.
_DROPPED = frozenset("\"'\u00ab\u00bb\u2018\u2019\u201b\u201c\u201d\u2039\u203a\u2013\u2014\u2015\u2026")
_NORMALIZED = re.compile(rf"{_AUX}|{_NOT}")
_ENTITY = re.compile("|".join(_ENTITIES), re.IGNORECASE)
_MIXED_NUMBER = re.compile(r"(?<![\w.,:/-])(\d{1,4}) (?=\d{1,4}/\d{1,4}(?!\w))")
_ABBREVIATED_NUMBER = re.compile(rf"(?i)(?<!\S)({_BEFORE_NUMBER})\. (?=\d)")
_STARTER = re.compile(rf"(?:{_STARTERS}|{_STARTERS.upper()})(?!\S)")
_INITIAL = re.compile(rf"(?<![A-Za-z0-9.])([A-Za-z])\. (?={_STARTER.pattern})")
_LAST_INITIAL = re.compile(r"(?<![A-Za-z0-9.])[A-Za-z]\.$")
_TAG = re.compile(
    r"</?[A-Za-z][\w:.\-]*(?: [A-Za-z][\w:.\-]*(?: ?= ?(?:\"[^\"<>]*\"|'[^'<>]*'))?)* ?/?>|<[!?][A-Za-z\-][^<>]*>"
)


def split_words(caption: str, following: str = "") -> list[str]:
    """Splits one caption into lower-case tokens.

    Args:
        caption: text whose white space is single spaces.
        following: the next caption, because Java looks past the end of a line to see whether a sentence ends there.

    Returns:
        The tokens; punctuation that the COCO evaluation drops may or may not be among them.
    """
    if "&" in caption:
        caption = _ENTITY.sub(lambda match: _ENTITIES[match[0].lower()], caption)
    if "/" in caption:
        caption = _MIXED_NUMBER.sub("\\1\u00a0", caption)
    if "<" in caption:
        caption = _TAG.sub(lambda match: match[0].replace(" ", "\u00a0"), caption)
    if _LAST_INITIAL.search(caption) and _STARTER.match(following):
        caption = caption[:-1] + " ."
    if ". " in caption:
        caption = _INITIAL.sub("\\1 . ", caption)
        caption = _ABBREVIATED_NUMBER.sub("\\1.\u00a0", caption)
    tokens: list[str] = []
    for chunk in caption.split(" "):
        tokens += _split_chunk(chunk)
    return tokens


@functools.lru_cache(maxsize=1 << 16)
def _split_chunk(chunk: str) -> tuple[str, ...]:
    """Splits text without spaces; a no-break space joins what the rules read as one."""
    tokens = []
    position = 0
    while position < len(chunk):
        end, token = position, ""
        for rule in _RULES:
            match = rule.match(chunk, position)
            if match and match.end() > end and match[rule.groups]:
                end, token = match.end(), match[rule.groups]
        position += len(token)
        written = _written(token)
        if written:
            tokens.append(written)
    return tuple(tokens)


def _written(token: str) -> str:
    """Returns a token as Java writes it, or "" for what it leaves out."""
    if len(token) == 1 and not (token.isalpha() or token.isdecimal()):
        if token in _DROPPED or not _has_token(token):
            return ""
        return _SINGLE.get(token, token)
    if set(token) <= set("'`.") or (set(token) == {"-"} and len(token) < 5):
        return ""
    if token[0] in "<:;=" or "(" in token or ")" in token:
        token = token.replace("(", "-lrb-").replace(")", "-rrb-")
    if _NORMALIZED.fullmatch(token):
        token = token.replace("\u2019", "'").replace("\u2018", "`").replace("\u201b", "`")
    token = token.lower().replace("\u00ad", "")
    return token if token.strip("\u2010\u2011") else ""


def _has_token(character: str) -> bool:
    """Returns whether Java has a token for a character that is no letter: it knows none past the first plane."""
    if character.isascii():
        return character.isprintable() and character != " "
    return unicodedata.category(character)[0] in "SPN" and character < "\uffff"
