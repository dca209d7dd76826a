"""What comes with an image: its parts and their licences, a bill of materials, a statement of provenance."""
