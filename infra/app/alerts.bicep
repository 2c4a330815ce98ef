// What wakes somebody up. Each rule asks what the app really logs: queries/, held against its log lines by a test.
param name string
param location string
param tags { *: string }
param applicationInsightsId string
param emailAddresses string[]
param actionGroupIds string[]
param tickWindow string
param lagSeconds int

var rules = [
  {
    name: 'no-successful-tick'
    displayName: 'DICOM Cast: no successful tick'
    description: 'The sync stands still. Nothing is lost: it goes on from its watermark. GET /api/check says what is wrong.'
    severity: 1
    query: loadTextContent('../queries/successful-ticks.kql')
    windowSize: tickWindow
    timeAggregation: 'Count'
    measure: null
    operator: 'LessThan'
    threshold: 1
    splitBy: []
  }
  {
    name: 'not-syncing'
    displayName: 'DICOM Cast: not syncing'
    description: 'For five minutes a system is down, or ticks fail. Nothing is lost. GET /api/status says why and what to do.'
    severity: 1
    query: loadTextContent('../queries/not-syncing.kql')
    windowSize: 'PT5M'
    timeAggregation: 'Count'
    measure: null
    operator: 'GreaterThan'
    threshold: 0
    splitBy: []
  }
  {
    name: 'lag'
    displayName: 'DICOM Cast: FHIR is behind'
    description: 'For a quarter of an hour no tick has caught up with the change feed, or ticks end and write nothing.'
    severity: 2
    query: loadTextContent('../queries/behind.kql')
    windowSize: 'PT15M'
    timeAggregation: 'Minimum'
    measure: 'BehindSeconds'
    operator: 'GreaterThan'
    threshold: lagSeconds
    splitBy: []
  }
  {
    name: 'failed-entries'
    displayName: 'DICOM Cast: entries failed'
    description: 'Rows have arrived in an error table: these instances are not in FHIR, or a tag of theirs was left out.'
    severity: 3
    query: loadTextContent('../queries/failed-entries.kql')
    windowSize: 'PT15M'
    timeAggregation: 'Count'
    measure: null
    operator: 'GreaterThan'
    threshold: 0
    splitBy: ['Table']
  }
  {
    name: 'refused'
    displayName: 'DICOM Cast: the app is refused'
    description: 'A server answers 401 or 403. FHIR: the role FHIR Data Writer; DICOM: DICOM Data Reader. The sync waits.'
    severity: 1
    query: loadTextContent('../queries/refusals.kql')
    windowSize: 'PT15M'
    timeAggregation: 'Count'
    measure: null
    operator: 'GreaterThan'
    threshold: 0
    splitBy: ['System']
  }
  {
    name: 'function-failures'
    displayName: 'DICOM Cast: a function failed'
    description: 'A function raised: a fault of the app or its platform, not of the data.'
    severity: 2
    query: loadTextContent('../queries/function-failures.kql')
    windowSize: 'PT15M'
    timeAggregation: 'Count'
    measure: null
    operator: 'GreaterThan'
    threshold: 0
    splitBy: ['Function']
  }
  {
    name: 'audit'
    displayName: 'DICOM Cast: FHIR differs from DICOM'
    description: 'A round of the audit has ended and leaves differences open, or deletes that wait for a person. GET /api/audit.'
    severity: 3
    query: loadTextContent('../queries/audit.kql')
    windowSize: 'PT15M'
    timeAggregation: 'Count'
    measure: null
    operator: 'GreaterThan'
    threshold: 0
    splitBy: ['State']
  }
]

resource mail 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emailAddresses)) {
  name: '${name}-mail'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'DICOM Cast'
    enabled: true
    emailReceivers: [
      for address in emailAddresses: {
        name: address
        emailAddress: address
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: '${name}-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.displayName
      description: rule.description
      severity: rule.severity
      enabled: true
      autoMitigate: true
      scopes: [applicationInsightsId]
      // A workspace that has taken no data yet does not know the tables, and the rule would not be made.
      skipQueryValidation: true
      evaluationFrequency: 'PT5M'
      windowSize: rule.windowSize
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: rule.timeAggregation
            metricMeasureColumn: rule.measure
            operator: rule.operator
            threshold: rule.threshold
            dimensions: map(rule.splitBy, column => {
              name: column
              operator: 'Include'
              values: ['*']
            })
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: {
        actionGroups: concat(actionGroupIds, empty(emailAddresses) ? [] : [mail.id])
      }
    }
  }
]
