"""Data of a forecast: tables read and checked, periods, features, and the panel that holds them."""
