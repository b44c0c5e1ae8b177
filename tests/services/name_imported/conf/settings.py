PREFIX: str = "acme"
NAME = f"{PREFIX}-iris"
VERSION = "1.2"
OWNER = "ml"
