"""How characters outside ASCII are written in ASCII. Of several usages, all."""

import unicodedata
from functools import lru_cache

_USAGES = """
    ß ss s; æ ae e; œ oe; ø o oe; å a aa; ä a ae; ö o oe; ü u ue y; đ d dj; ð d dh; þ th; ł l; ı i; ħ h;
    ŋ n ng; ə e a;
    а a; б b; в v; г g h; д d; е e ye; ё e yo io; ж zh j; з z; и i y; й y i j; к k; л l; м m; н n; о o; п p;
    р r; с s; т t; у u; ф f; х kh h x; ц ts c; ч ch; ш sh; щ shch sch sh; ъ '; ы y i; ь '; э e; ю yu iu ju;
    я ya ia ja; і i; ї yi i ji; є ye ie je; ґ g; ў u w;
    α a; β v b; γ g; δ d; ε e; ζ z; η i h; θ th; ι i; κ k; λ l; μ m; ν n; ξ x ks; ο o; π p; ρ r; σ s; ς s;
    τ t; υ y u; φ f ph; χ ch h x; ψ ps; ω o w;
    € EUR E; £ GBP L; ¥ JPY Y; ° o; • * -; · . -; × x; ¿ ?; ¡ !; © (c) (C); ® (r) (R); № No N; → -> >; … ...;
    ™ (tm) (TM);
"""
"""Each character, and its spellings. Those of a letter without an accent are not listed."""

_SPELLINGS = {char: usages for char, *usages in map(str.split, filter(str.strip, _USAGES.split(";")))}


@lru_cache(maxsize=2048)
def spellings(char: str) -> tuple[str, ...]:
    """What a character can be in ASCII, other than left out."""
    lower = char.lower()
    found = set(_SPELLINGS.get(char) or _SPELLINGS.get(lower, []))
    for form in ("NFKD", "NFKC"):
        found.add("".join(part for part in unicodedata.normalize(form, char) if not unicodedata.combining(part)))
    if base := unicodedata.normalize("NFD", lower)[:1]:
        found |= set(_SPELLINGS.get(base, []))
    usable = {form for form in found if form and form.isascii() and not any(part.isdigit() for part in form)}
    if char != lower:
        usable |= {form.capitalize() for form in usable} | {form.upper() for form in usable}
        usable -= {form for form in usable if form.islower()}
    return tuple(sorted(usable))
