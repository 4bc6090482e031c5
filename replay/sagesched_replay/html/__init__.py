"""The report: one HTML file with its plots inside, that needs no network."""
