"""Forecasts against what came: the computing core of ``bayesseg validate``. L8."""
