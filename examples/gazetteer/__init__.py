"""A gazetteer of the world's cities: the data is loaded once, four workers answer from it."""
