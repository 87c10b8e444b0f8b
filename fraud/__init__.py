"""The product: what a fraud decision is, and what people do with it."""
