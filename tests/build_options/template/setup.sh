#!/usr/bin/env python3
print("set up")
