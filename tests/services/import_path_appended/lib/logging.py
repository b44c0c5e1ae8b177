raise ImportError("that of Python is loaded before")
