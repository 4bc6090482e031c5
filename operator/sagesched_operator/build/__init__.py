"""Pool → the objects that belong to it. Pure: no clock, no client, no chance; one file per kind."""
