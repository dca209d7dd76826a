"""The matrix beside what package indexes publish: pages read, releases told, differences found, files edited."""
