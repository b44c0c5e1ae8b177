import values

values.LABELS["tier"] = "gold"
values.TIMEOUT = 4
