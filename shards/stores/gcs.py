"""Google Cloud Storage."""

from .client import Service

GCS = Service(
    schemes=("gs",),
    credentials="GOOGLE_APPLICATION_CREDENTIALS",
    public="GOOGLE_SKIP_SIGNATURE=true",
    elsewhere="GOOGLE_BASE_URL where the store is not Google's",
    endpoints=("GOOGLE_BASE_URL",),
)
