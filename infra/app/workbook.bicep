// Lag, throughput and errors on one page of Application Insights.
param name string
param location string
param tags { *: string }
param applicationInsightsId string

var charts = [
  {
    title: 'Lag: age of the oldest entry that is not synced, in seconds'
    query: '${loadTextContent('../queries/lag.kql')}| summarize LagSeconds = max(LagSeconds) by bin(timestamp, 5m)'
    visualization: 'timechart'
  }
  {
    title: 'Throughput: change feed entries in five minutes'
    query: loadTextContent('../queries/throughput.kql')
    visualization: 'timechart'
  }
  {
    title: 'Ticks, by how they ended'
    query: loadTextContent('../queries/outcomes.kql')
    visualization: 'barchart'
  }
  {
    title: 'Failed entries, by error table'
    query: '${loadTextContent('../queries/failed-entries.kql')}| summarize Rows = count() by Table, bin(timestamp, 5m)'
    visualization: 'barchart'
  }
  {
    title: 'The latest failed entries'
    query: '${loadTextContent('../queries/failed-entries.kql')}| top 100 by timestamp desc'
    visualization: 'table'
  }
  {
    title: 'The latest failed ticks'
    query: loadTextContent('../queries/last-errors.kql')
    visualization: 'table'
  }
  {
    title: 'Functions that raised'
    query: '${loadTextContent('../queries/function-failures.kql')}| summarize Failures = count() by Function, bin(timestamp, 5m)'
    visualization: 'barchart'
  }
]

var timeRange = {
  type: 9
  name: 'time range'
  content: {
    version: 'KqlParameterItem/1.0'
    parameters: [
      {
        id: guid(name, 'TimeRange')
        version: 'KqlParameterItem/1.0'
        name: 'TimeRange'
        label: 'Time range'
        type: 4
        isRequired: true
        value: {
          durationMs: 86400000
        }
        typeSettings: {
          allowCustom: true
          selectableValues: [
            { durationMs: 3600000 }
            { durationMs: 86400000 }
            { durationMs: 604800000 }
            { durationMs: 2592000000 }
          ]
        }
      }
    ]
    style: 'pills'
    queryType: 0
    resourceType: 'microsoft.insights/components'
  }
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, name, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'DICOM Cast (${name})'
    category: 'workbook'
    sourceId: applicationInsightsId
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat(
        [timeRange],
        map(charts, chart => {
          type: 3
          name: chart.title
          content: {
            version: 'KqlItem/1.0'
            title: chart.title
            query: chart.query
            visualization: chart.visualization
            size: 0
            queryType: 0
            resourceType: 'microsoft.insights/components'
            timeContextFromParameter: 'TimeRange'
            noDataMessage: 'Nothing in this time.'
          }
        })
      )
      fallbackResourceIds: [applicationInsightsId]
    })
  }
}
