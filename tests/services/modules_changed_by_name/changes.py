from values import LABELS

LABELS["tier"] = "gold"
