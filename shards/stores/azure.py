"""Azure Blob Storage."""

from .client import Service

AZURE = Service(
    schemes=("az", "abfs", "abfss"),
    credentials="AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    public="AZURE_SKIP_SIGNATURE=true",
    elsewhere="AZURE_STORAGE_ENDPOINT where the store is not Microsoft's",
    endpoints=("AZURE_ENDPOINT", "AZURE_STORAGE_ENDPOINT"),
)
