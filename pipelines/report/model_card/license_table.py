"""Licences by what they ask of somebody who publishes a model made from a work under them.

Sources. Identifiers: the Hub's list of licences (https://huggingface.co/docs/hub/repositories-licenses, as of August
2026) and, for those of packages, the SPDX list (https://spdx.org/licenses). Whether the source of what is made from a
work must stay under the same terms: the licence texts as summed up by https://choosealicense.com/appendix ("same
license"). BY, SA, NC and ND: https://creativecommons.org/share-your-work/cclicenses. OpenRAIL: the use restrictions of
its attachment A pass on to derivatives (https://huggingface.co/blog/open_rail). Llama, Gemma and Grok 2: the acceptable
use policy or prohibited uses that each agreement passes on to derivatives, linked from the Hub's list. Research
licences (Apple, FAIR, H, Intel, DeepFloyd): non-commercial by their own texts, linked from the same list.
"""

from enum import IntEnum


class Strictness(IntEnum):
    """How much a licence asks, the least first. What it asks is not known for the last two."""

    PERMISSIVE = 0
    SHARE_ALIKE = 1
    USE_RESTRICTED = 2
    NON_COMMERCIAL = 3
    OTHER = 4
    UNKNOWN = 5


LICENSES = {
    Strictness.PERMISSIVE: frozenset({
        "apache-2.0", "mit", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause",
        "bsd-3-clause-clear", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cdla-permissive-1.0",
        "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "etalab-2.0", "isc", "odc-by", "openmdw-1.0", "openmdw-1.1",
        "postgresql", "ncsa", "unlicense", "zlib", "pddl", "psf-2.0", "python-2.0", "0bsd", "mit-0", "public-domain",
    }),
    Strictness.SHARE_ALIKE: frozenset({
        "cc-by-sa-2.0", "cc-by-sa-2.5", "cc-by-sa-3.0", "cc-by-sa-4.0", "cdla-sharing-1.0", "epl-1.0", "epl-2.0",
        "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0",
        "lgpl-lr", "mpl-2.0", "ms-pl", "odbl", "ofl-1.1", "osl-3.0",
    }),
    Strictness.USE_RESTRICTED: frozenset({
        "openrail", "openrail++", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0",
        "bigcode-openrail-m", "c-uda", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4",
        "grok2-community", "gemma", "cc-by-nd-4.0",
    }),
    Strictness.NON_COMMERCIAL: frozenset({
        "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "apple-amlr", "deepfloyd-if-license", "h-research", "intel-research",
        "fair-noncommercial-research-license",
    }),
    Strictness.OTHER: frozenset({"other", "cc", "apple-ascl", "lppl-1.3c"}),
    Strictness.UNKNOWN: frozenset({"unknown"}),
}  # fmt: skip

# the table's identifiers that are SPDX's or plain words, and none of the Hub's
NOT_ON_THE_HUB = frozenset({"psf-2.0", "python-2.0", "0bsd", "mit-0", "public-domain", "cc-by-sa-2.0", "cc-by-sa-2.5"})

# as packages and data cards write them, where spaces, case and the word "license" are not all that differs
SPELLINGS = {
    "apache": "apache-2.0", "apache-2": "apache-2.0", "apache-software": "apache-2.0", "apache2": "apache-2.0",
    "apache-version-2.0": "apache-2.0", "bsd-2": "bsd-2-clause", "bsd-3": "bsd-3-clause", "bsd-new": "bsd-3-clause",
    "cc0": "cc0-1.0", "creative-commons-zero-v1.0-universal": "cc0-1.0", "gplv2": "gpl-2.0", "gplv3": "gpl-3.0",
    "agplv3": "agpl-3.0", "lgplv3": "lgpl-3.0", "mozilla-public-2.0": "mpl-2.0", "mpl2": "mpl-2.0", "psf": "psf-2.0",
    "python-software-foundation": "psf-2.0", "odc-by-1.0": "odc-by", "odbl-1.0": "odbl", "pddl-1.0": "pddl",
}  # fmt: skip
