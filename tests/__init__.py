"""Tests. Each directory that is named like a package of py/ tests this package."""
