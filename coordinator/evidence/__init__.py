"""Evidence for somebody who does not trust the store: signed heads, and bundles that verify offline."""
