"""What FHIR should say: from what the archive holds, what FHIR says and what others wrote.

Begin with `merging`: a study is looked up (`study_lookup`), what it is merged from is gathered (`gathering`), and its
content (`study_content`) and writes (`study_writes`, `reports`) are made. Gathering links the Patients
(`patient_links`) and the Endpoint (`our_endpoint`), and reads the archive if the changes do not say enough
(`needed_reading`, `reading`); the content has the links to orders (`order_links`). All searches go through `lookup`.
From batch to batch the host keeps `feed_order`, `order_searches` and `resource_cache`.
"""
