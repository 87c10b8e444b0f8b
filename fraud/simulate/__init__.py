"""Card-payment traffic with fraud, as a seeded source."""
