"""Rules for keys that tell by their form whose they are."""

from __future__ import annotations

from offramp.redact.rule import EDGE, Rule
from offramp.redact.secret import surrogate_found

_W = "[A-Za-z0-9_-]"
_A = "[A-Za-z0-9]"
_H = "[0-9a-f]"

FORMS = {
    # prefix (RE2, also the hint): what follows it
    r"sk-": _W + "{16,}",  # OpenAI, Anthropic, OpenRouter, DeepSeek, LiteLLM
    r"(?:sk|rk|pk)_(?:live|test)_": _A + "{10,}",  # Stripe, Clerk
    r"whsec_": "[A-Za-z0-9+/=]{20,}",  # Stripe
    r"gh[opsur]_": _A + "{30,}",
    r"github_pat_": "[A-Za-z0-9_]{30,}",
    r"gl(?:pat|ptt|dt|rt|soat|cbt)-": _W + "{16,}",  # GitLab
    r"A(?:KIA|SIA|GPA|IDA|ROA|IPA|NPA|NVA|BIA|CCA)": r"[A-Z0-9]{16}\b",  # AWS
    r"ABSK": "[A-Za-z0-9+/]{100,}={0,2}",  # AWS Bedrock
    r"AIza": _W + "{30,}",  # Google
    r"ya29\.": _W + "{20,}",
    r"GOCSPX-": _W + "{20,}",
    r"xox[abeoprs]-": "[A-Za-z0-9-]{10,}",  # Slack
    r"xapp-": "[A-Za-z0-9-]{10,}",
    r"hf_": _A + "{20,}",
    r"npm_": _A + "{30,}",
    r"pypi-": _W + "{50,}",
    r"rubygems_": _H + "{40,}",
    r"dckr_pat_": _W + "{20,}",
    r"do[opr]_v1_": _A + "{40,}",  # DigitalOcean
    r"shp(?:at|ss|ca|pa)_": _A + "{20,}",  # Shopify
    r"SG\.": _W + r"{16,}\." + _W + "{16,}",  # SendGrid
    r"gsk_": _A + "{30,}",  # Groq
    r"xai-": _A + "{30,}",
    r"nvapi-": _W + "{30,}",
    r"r8_": _A + "{30,}",  # Replicate
    r"pplx-": _A + "{30,}",  # Perplexity
    r"fw_": _A + "{20,}",  # Fireworks
    r"tvly-": "[A-Za-z0-9-]{20,}",  # Tavily
    r"pcsk_": "[A-Za-z0-9_]{30,}",  # Pinecone
    r"lsv2_(?:pt|sk)_": "[a-z0-9_]{30,}",  # LangSmith
    r"[ps]k-lf-": "[0-9a-f-]{30,}",  # Langfuse
    r"ph[cx]_": _A + "{30,}",  # PostHog
    r"hv[bs]\.": _W + "{20,}",  # HashiCorp Vault
    r"dapi": _H + "{32}",  # Databricks
    r"dp\.(?:pt|st|ct)\.": _A + "{30,}",  # Doppler
    r"lin_(?:api|oauth)_": _A + "{30,}",  # Linear
    r"ntn_": _A + "{30,}",  # Notion
    r"secret_": _A + "{43}",
    r"gl(?:c|sa)_": "[A-Za-z0-9+/=_]{30,}",  # Grafana
    r"figd_": _W + "{30,}",
    r"ATATT3": "[A-Za-z0-9_=-]{50,}",  # Atlassian
    r"sntry[su]_": "[A-Za-z0-9+/=_-]{40,}",
    r"NRAK-": "[A-Z0-9]{20,}",  # New Relic
    r"PMAK-": "[0-9a-f-]{40,}",  # Postman
    r"HRKU-": "[0-9A-Za-z_-]{30,}",  # Heroku
    r"sbp_": _H + "{40}",  # Supabase
    r"nfp_": _A + "{30,}",  # Netlify
    r"pscale_(?:tkn|pw|oauth)_": "[A-Za-z0-9_.-]{20,}",  # PlanetScale
    r"sq0(?:atp|csp|idp)-": _W + "{20,}",  # Square
    r"key-": _H + "{32}",  # Mailgun
    r"SK": _H + "{32}",  # Twilio
    r"AGE-SECRET-KEY-1": "[0-9A-Z]{50,}",
    r"oy2[a-z0-9]": "[a-z0-9]{42}",  # NuGet
}

_HINTS = {
    "SK": "SK[0-9a-f]{4}",
    "key-": "key-[0-9a-f]{4}",
    "fw_": "fw_[A-Za-z0-9]{4}",
    "secret_": "secret_[A-Za-z0-9]{20}",
}
"""Of prefixes that ordinary text holds too."""

API_KEY = Rule(
    "api_key",
    EDGE + "(" + "|".join(f"{prefix}{rest}" for prefix, rest in FORMS.items()) + ")",
    "|".join(_HINTS.get(prefix, prefix) for prefix in FORMS),
    surrogate_found,
)

UNPREFIXED_KEY = Rule(
    "api_key",
    EDGE + r"([0-9a-f]{32}-us\d{1,2}"  # Mailchimp
    r"|\d{8,10}:AA[A-Za-z0-9_-]{33}"  # Telegram
    r"|[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}"  # Discord
    r"|[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"  # Microsoft Entra
    r"|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,})",  # Terraform
    r"-us\d|:AA[A-Za-z0-9_-]{4}|\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{20}|Q~|\.atlasv1\.",
    surrogate_found,
    shortest=36,
)
