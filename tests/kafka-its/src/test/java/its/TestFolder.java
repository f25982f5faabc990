package its;

import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * Gives each test a folder for files and logs of the processes that it starts, and its clusters of one broker a
 * transaction log that one broker can have: without it, no producer of theirs could use transactions, and we would wait
 * for that at each start. JUnit finds this class as a service.
 */
public final class TestFolder implements BeforeEachCallback {
    private static volatile Path current = Path.of(System.getProperty("crosscurrent.work"));

    @Override
    public void beforeEach(ExtensionContext context) throws Exception {
        Path folder = Path.of(System.getProperty("crosscurrent.work"))
            .resolve(context.getRequiredTestClass().getSimpleName())
            .resolve(context.getRequiredTestMethod().getName());
        current = Files.createDirectories(folder);
        for (Class<?> type = context.getRequiredTestClass(); type != null; type = type.getSuperclass()) {
            for (Field field : type.getDeclaredFields()) {
                if (field.getName().endsWith("BrokerProps")) {
                    field.setAccessible(true);
                    Properties properties = (Properties) field.get(context.getRequiredTestInstance());
                    properties.put("transaction.state.log.replication.factor", "1");
                    properties.put("transaction.state.log.min.isr", "1");
                }
            }
        }
    }

    static Path current() {
        return current;
    }
}
