"""What every service is written against: discovery documents, calls, errors, bodies, pages."""
